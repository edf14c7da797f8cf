from __future__ import annotations

import math

import numpy as np
import pytest

from bfmkit.regret.power_law import exponent


def test_finds_the_exponent_of_a_power_law() -> None:
    at = np.array([10, 30, 100, 1000])
    scales = np.array([[1.0], [2.0], [5.0]])
    found = exponent(at, scales * at**0.4)
    assert found == pytest.approx((0.4, 0.4, 0.4))


def test_the_interval_is_as_wide_as_the_seeds_differ() -> None:
    at = np.array([10.0, 100.0, 1000.0])
    found = exponent(at, np.stack([at**0.3, at**0.3, at**0.9, at**0.9]))
    assert 0.29 < found.low < found.value < found.high < 0.91
    assert found.high - found.low > 0.1


def test_a_curve_of_zero_has_none() -> None:
    assert math.isnan(exponent(np.array([1, 2]), np.zeros((3, 2))).value)


def test_one_point_is_refused() -> None:
    with pytest.raises(ValueError, match="two points"):
        exponent(np.array([3]), np.ones((2, 1)))
