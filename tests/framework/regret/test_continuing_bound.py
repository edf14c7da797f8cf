from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bfmkit.regret.continuing_bound import ContinuingBound

BOUND = ContinuingBound(
    dim=2, regularization=4.0, weight_norm=0.5, delta=0.06, factor=2.0, feature_span=3.0, value_span=1.0
)


def test_is_the_formula_by_hand() -> None:
    steps, log = 100.0, math.log(3 / 0.06)
    information = 2 * math.log(1 + 100 / 8)
    radius = math.sqrt(information + 2 * log) + 2 * 0.5
    choices = 1 + information / math.log(2)

    def deviation(a: float) -> float:
        return math.sqrt((1 + a) * (math.log(1 + a) + 2 * log))

    expected = (
        2 * radius * math.sqrt(2 * steps * 0.25 / math.log(1.25) * information)
        + choices * (1.0 + 2 * radius * 3.0 / 2)
        + 5 / 4 * deviation(4 * radius**2 * steps)
        + (0.5 + 0.5) * deviation(steps)
    )
    assert BOUND.regret(np.array([steps]))[0] == pytest.approx(expected)


def test_grows_as_the_root_of_steps_and_with_an_error_as_steps() -> None:
    steps = np.array([1e10, 1e12])
    growth = np.log(BOUND.regret(steps)[1] / BOUND.regret(steps)[0]) / np.log(100)
    assert 0.5 < growth < 0.56
    wrong = replace(BOUND, misspecification=0.1)
    growth = np.log(wrong.regret(steps)[1] / wrong.regret(steps)[0]) / np.log(100)
    assert 0.98 < growth < 1.05
    assert (wrong.regret(steps) > BOUND.regret(steps) + 0.2 * steps).all()
