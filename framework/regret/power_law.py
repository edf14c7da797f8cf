"""Exponent of a power law, with an interval over seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
COVERAGE = 0.95


class Exponent(NamedTuple):
    """p of c·nᵖ, and a percentile interval; NaN where the curve is not positive."""

    value: float
    low: float
    high: float


def exponent(
    at: np.ndarray,  # (k,) positive, increasing
    curves: np.ndarray,  # (seeds, k)
) -> Exponent:
    """Least squares of ln(mean of the curves) on ln(at), bootstrapped over seeds.

    Raises:
        ValueError: with fewer than two points.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if len(at) < 2:
        raise ValueError(f"an exponent takes at least two points, got {len(at)}")
    rows = np.random.default_rng(0).integers(len(curves), size=(RESAMPLES, len(curves)))
    # Counts times curves: the resampled curves themselves would be large.
    weights = np.stack([np.bincount(row, minlength=len(curves)) for row in rows]) / len(curves)
    tail = (1 - COVERAGE) / 2
    slopes = _slopes(at, weights @ curves)
    slopes = slopes[np.isfinite(slopes)]
    low, high = np.quantile(slopes, [tail, 1 - tail]) if len(slopes) else (np.nan, np.nan)
    return Exponent(float(_slopes(at, curves.mean(0, keepdims=True))[0]), float(low), float(high))


def _slopes(at: np.ndarray, means: np.ndarray) -> np.ndarray:  # (k,), (n, k) -> (n,)
    positive = np.all(means > 0, axis=1)
    x = np.log(at) - np.log(at).mean()
    y = np.log(np.where(positive[:, None], means, 1.0))
    return np.where(positive, y @ x / (x @ x), np.nan)
