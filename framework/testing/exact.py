"""The slow, obvious truth of a regression, in as many digits as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

GRID = 2.0**-20
"""Numbers that are multiples of this, and at most 5.6 in size, are multiplied and added up without any rounding."""
_LARGEST, _BLOCK = 2**22.5, 256
_DIGITS = 60


@dataclass(frozen=True)
class ExactRegression:
    """What regularised least squares gives, rounded once at the end."""

    mean: Tensor  # (d,) float64
    widths: Tensor  # (m,) float64, √(xᵀV⁻¹x) for each probe
    log_determinant: float


def on_grid(values: Tensor) -> Tensor:
    """The nearest numbers that :func:`exact_regression` takes."""
    return torch.round(values.double() / GRID) * GRID


def exact_regression(
    features: Tensor,  # (n, d), on the grid
    rewards: Tensor,  # (n,), on the grid
    prior_precision: float,
    probes: Tensor,  # (m, d)
    noise_std: float = 1.0,
) -> ExactRegression:
    """V = λI + ΦᵀΦ/σ² and b = Φᵀr/σ² in whole numbers, solved with 60 digits.

    Raises:
        ValueError: if a feature or reward is not on the grid, or too large for its products to be exact.
    """
    import mpmath

    columns = torch.cat([features, rewards.unsqueeze(-1)], -1).double() / GRID
    if not torch.equal(columns, columns.round()) or columns.abs().max() > _LARGEST:
        raise ValueError("features and rewards must be multiples of 2**-20, and at most 5.6 in size")
    dim = features.shape[-1]
    sums = [[0] * (dim + 1) for _ in range(dim)]
    for block in columns.split(_BLOCK):
        # At most 256 products of at most 2⁴⁵: every partial sum is a whole number that float64 holds.
        for i, row in enumerate((block[:, :dim].mT @ block).tolist()):
            for j, value in enumerate(row):
                sums[i][j] += int(value)
    with mpmath.workdps(_DIGITS):
        unit = mpmath.mpf(GRID) ** 2 / mpmath.mpf(noise_std) ** 2
        precision = mpmath.matrix(dim, dim)
        for i in range(dim):
            for j in range(dim):
                precision[i, j] = sums[i][j] * unit + (mpmath.mpf(prior_precision) if i == j else 0)
        lower = mpmath.cholesky(precision)

        def half(vector: list[Any]) -> list[Any]:  # L⁻¹·vector
            solved: list[Any] = []
            for i, value in enumerate(vector):
                inner = sum((lower[i, j] * solved[j] for j in range(i)), mpmath.mpf(0))
                solved.append((value - inner) / lower[i, i])
            return solved

        mean = _back(lower, half([sums[i][dim] * unit for i in range(dim)]))
        widths = [
            mpmath.sqrt(sum(part**2 for part in half([mpmath.mpf(value) for value in probe])))
            for probe in probes.tolist()
        ]
        determinant = 2 * sum(mpmath.log(lower[i, i]) for i in range(dim))
        return ExactRegression(
            torch.tensor([float(value) for value in mean], dtype=torch.float64),
            torch.tensor([float(value) for value in widths], dtype=torch.float64),
            float(determinant),
        )


def _back(lower, vector):  # type: ignore[no-untyped-def]
    """L⁻ᵀ·vector."""
    dim = len(vector)
    solved = list(vector)
    for i in range(dim - 1, -1, -1):
        for j in range(i + 1, dim):
            solved[i] = solved[i] - lower[j, i] * solved[j]
        solved[i] = solved[i] / lower[i, i]
    return solved
