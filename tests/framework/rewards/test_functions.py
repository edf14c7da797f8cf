from __future__ import annotations

import numpy as np
import pytest
from dm_control.utils import rewards

from bfmkit.rewards.functions import FUNCTIONS, at_least, at_most, ramp, tolerance, usage

X = np.linspace(-3, 3, 61)


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_tolerance_is_that_of_dm_control(margin: float) -> None:
    options = {"margin": margin, "value_at_margin": 0.1, "sigmoid": "gaussian"}
    expected = [rewards.tolerance(x, bounds=(-0.5, 1.0), **options) for x in X]
    np.testing.assert_allclose(tolerance(X, -0.5, 1.0, margin), expected, atol=1e-12)
    low = [rewards.tolerance(x, bounds=(0.4, np.inf), **options) for x in X]
    np.testing.assert_allclose(at_least(X, 0.4, margin), low, atol=1e-12)
    np.testing.assert_allclose(at_most(-X, -0.4, margin), low, atol=1e-12)


def test_a_ramp_may_fall() -> None:
    np.testing.assert_allclose(ramp(np.array([0.0, 1.0, 1.5, 2.0, 3.0]), 2.0, 1.0), [1, 1, 0.5, 0, 0])
    with pytest.raises(ValueError, match="the same"):
        ramp(1.0, 2.0, 2.0)


def test_every_function_is_described() -> None:
    for name, function in FUNCTIONS.items():
        assert usage(name).startswith(f"{name}(") and function.__doc__
