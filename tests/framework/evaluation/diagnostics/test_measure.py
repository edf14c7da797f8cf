from __future__ import annotations

import math

import pytest

from bfmkit.evaluation.diagnostics.measure import Measure, bad_names


@pytest.mark.parametrize(
    ("value", "low", "high", "bad"),
    [(1.0, 0.5, 1.5, False), (2.0, 0.5, 1.5, True), (0.0, 0.5, None, True), (math.inf, None, 10.0, True),
     (math.nan, None, None, True), (3.0, None, None, False)],
)  # fmt: skip
def test_bad_is_outside_the_range(value: float, low: float | None, high: float | None, bad: bool) -> None:
    measure = Measure("x", value, "It is bad.", low, high)
    assert measure.is_bad is bad
    assert measure.to_dict()["bad"] is bad
    assert bad_names([measure]) == (["x"] if bad else [])


def test_range_in_words() -> None:
    assert Measure("x", 1.0, "", 0.5, 1e5).expected == "at least 0.5, at most 1e+05"
