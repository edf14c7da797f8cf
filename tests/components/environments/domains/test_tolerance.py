from __future__ import annotations

import numpy as np
import pytest
from dm_control.utils.rewards import tolerance

from bfmkit.components.environments.domains.tolerance import (
    gaussian_at_least,
    gaussian_at_most,
    linear_at_least,
    quadratic_at_zero,
)

QUANTITY = np.linspace(-7.0, 7.0, 281)  # meets bounds and margins below exactly


@pytest.mark.parametrize("bound", [1.0, 1.5, -2.0])
@pytest.mark.parametrize("margin", [0.5, 2.0])
class TestAgainstDMControl:
    @pytest.mark.parametrize("value", [0.0, 0.5])
    def test_linear(self, bound: float, margin: float, value: float) -> None:
        expected = tolerance(QUANTITY, (bound, np.inf), margin, sigmoid="linear", value_at_margin=value)
        np.testing.assert_allclose(linear_at_least(QUANTITY, bound, margin, value), expected, atol=1e-14)

    @pytest.mark.parametrize("value", [0.1, 0.5])
    def test_gaussian(self, bound: float, margin: float, value: float) -> None:
        expected = tolerance(QUANTITY, (bound, np.inf), margin, value_at_margin=value)
        np.testing.assert_allclose(gaussian_at_least(QUANTITY, bound, margin, value), expected, atol=1e-14)
        expected = tolerance(QUANTITY, (-np.inf, bound), margin, value_at_margin=value)
        np.testing.assert_allclose(gaussian_at_most(QUANTITY, bound, margin, value), expected, atol=1e-14)


def test_quadratic() -> None:
    expected = tolerance(QUANTITY, margin=2.0, sigmoid="quadratic", value_at_margin=0)
    np.testing.assert_allclose(quadratic_at_zero(QUANTITY, 2.0), expected, atol=1e-14)


def test_numbers_give_what_arrays_give() -> None:
    for function in (gaussian_at_least, gaussian_at_most):
        for quantity, value in zip(QUANTITY, function(QUANTITY, 1.0, 2.0), strict=True):
            assert function(float(quantity), 1.0, 2.0) == pytest.approx(value, abs=1e-15)
