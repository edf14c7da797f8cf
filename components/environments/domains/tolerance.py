"""Soft thresholds, of which rewards are products.

They are those of ``dm_control.utils.rewards.tolerance`` for bounds with one end, in a few array operations each: a
reward is asked for at every step, where the general function costs a tenth of the physics.
"""

from __future__ import annotations

import math

import numpy as np


def linear_at_least(
    quantity: np.ndarray,  # (*b,)
    bound: float,
    margin: float,
    value_at_margin: float,
) -> np.ndarray:  # (*b,)
    """1 from the bound on; below it, a line to ``value_at_margin`` at ``bound - margin`` and on to 0.

    max(0, min(1, 1 - (1 - v) (bound - x) / margin))
    """
    slope = (1 - value_at_margin) / margin
    return np.maximum(np.minimum(quantity * slope + (1 - bound * slope), 1.0), 0.0)


def gaussian_at_least(
    quantity: np.ndarray,  # (*b,)
    bound: float,
    margin: float,
    value_at_margin: float = 0.1,
) -> np.ndarray:  # (*b,)
    """1 from the bound on; below it, a bell that has ``value_at_margin`` at ``bound - margin``.

    v^(δ²/margin²), δ = max(0, bound - x)
    """
    short = np.maximum(bound - quantity, 0.0) / margin
    return np.exp(math.log(value_at_margin) * short * short)


def gaussian_at_most(
    quantity: np.ndarray,  # (*b,)
    bound: float,
    margin: float,
    value_at_margin: float = 0.1,
) -> np.ndarray:  # (*b,)
    """1 up to the bound; above it, a bell that has ``value_at_margin`` at ``bound + margin``."""
    return gaussian_at_least(-quantity, -bound, margin, value_at_margin)


def quadratic_at_zero(quantity: np.ndarray, margin: float) -> np.ndarray:  # (*b,) -> (*b,)
    """1 at zero, 0 from ``margin`` on, on either side.

    max(0, 1 - x²/margin²)
    """
    ratio = quantity / margin
    return np.maximum(1.0 - ratio * ratio, 0.0)
