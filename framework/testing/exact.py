"""Exact regression in many digits, as the truth of tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

GRID = 2.0**-20
"""Numbers that are multiples of this, and at most 5.6 in size, are multiplied and added up without any rounding."""
_LARGEST, _BLOCK = 2**22.5, 256
_DIGITS = 60
_BITS = 150


@dataclass(frozen=True)
class ExactRegression:
    """Result of regularised least squares, rounded once at the end."""

    mean: Tensor  # (d,) float64
    widths: Tensor  # (m,) float64, √(xᵀV⁻¹x) for each probe, or √(xᵀV⁻¹UV⁻¹x)
    log_determinant: float


def on_grid(values: Tensor) -> Tensor:
    """Nearest numbers on the grid that :func:`exact_regression` takes."""
    return torch.round(values.double() / GRID) * GRID


def exact_regression(
    features: Tensor,  # (n, d), on the grid, oldest first
    rewards: Tensor,  # (n,), on the grid
    prior_precision: float,
    probes: Tensor,  # (m, d)
    noise_std: float = 1.0,
    prior_response: Tensor | None = None,  # (d,); None: 0
    discount: float = 1.0,
    forgets_prior: bool = True,
) -> ExactRegression:
    """Regression V = ρⁿλI + Σ ρⁿ⁻ⁱ φφᵀ/σ², b = b₀ + Σ ρⁿ⁻ⁱ φr/σ² in whole numbers, solved with 60 digits.

    Where the prior is not forgotten, λI is in V in full, and U is λI + Σ ρ²⁽ⁿ⁻ⁱ⁾ φφᵀ/σ².

    Raises:
        ValueError: if a feature or reward is not on the grid, or too large for its products to be exact.
    """
    import mpmath

    columns = torch.cat([features, rewards.unsqueeze(-1)], -1).double() / GRID
    if not torch.equal(columns, columns.round()) or columns.abs().max() > _LARGEST:
        raise ValueError("features and rewards must be multiples of 2**-20, and at most 5.6 in size")
    dim = features.shape[-1]
    with mpmath.workdps(_DIGITS):
        unit = mpmath.mpf(GRID) ** 2 / mpmath.mpf(noise_std) ** 2
        prior = mpmath.mpf(prior_precision)
        kept = prior * mpmath.mpf(discount) ** len(features) if forgets_prior else prior
        products = _sums(columns, discount)
        response = mpmath.matrix([products[i][dim] * unit for i in range(dim)])
        if prior_response is not None:
            response += mpmath.matrix(prior_response.tolist())
        precision = _precision(products, dim, unit, kept)
        mean, *solved = (
            mpmath.cholesky_solve(precision, column) for column in (response, *map(mpmath.matrix, probes.tolist()))
        )
        widths = [
            mpmath.sqrt(mpmath.fdot(probe, column)) for probe, column in zip(probes.tolist(), solved, strict=True)
        ]
        if not forgets_prior:
            squared = _precision(_sums(columns, discount, power=2), dim, unit, prior)
            widths = [mpmath.sqrt((column.T * squared * column)[0]) for column in solved]
        lower = mpmath.cholesky(precision)
        return ExactRegression(
            torch.tensor([float(value) for value in mean], dtype=torch.float64),
            torch.tensor([float(value) for value in widths], dtype=torch.float64),
            float(2 * sum(mpmath.log(lower[i, i]) for i in range(dim))),
        )


def _sums(columns: Tensor, discount: float, power: int = 1) -> list[list[Any]]:  # (n, d + 1) whole -> d rows of d + 1
    """Σ ρ^{p(n−i)} of the products of columns, p being 1 or 2."""
    import mpmath

    dim = columns.shape[-1] - 1
    if discount == 1.0:
        sums = [[0] * (dim + 1) for _ in range(dim)]
        for block in columns.split(_BLOCK):
            # At most 256 products of at most 2⁴⁵: every partial sum is a whole number that float64 holds.
            for i, row in enumerate((block[:, :dim].mT @ block).tolist()):
                for j, value in enumerate(row):
                    sums[i][j] += int(value)
        return sums
    # A float is a whole number over a power of two; what is forgotten is rounded down to so many bits.
    numerator, denominator = (part**power for part in discount.as_integer_ratio())
    shift = denominator.bit_length() - 1
    newest = math.ceil(_BITS * math.log(2) / (power * -math.log(discount)))
    rows, first, second = columns[-newest:].long().numpy(), *np.triu_indices(dim, m=dim + 1)
    total = np.zeros(len(first), dtype=object)
    for row in rows:
        total = (total * numerator >> shift) + ((row[first] * row[second]).astype(object) << _BITS)
    sums = [[mpmath.mpf(0)] * (dim + 1) for _ in range(dim)]
    for i, j, value in zip(first.tolist(), second.tolist(), total.tolist(), strict=True):
        sums[i][j] = mpmath.ldexp(mpmath.mpf(value), -_BITS)
        if j < dim:
            sums[j][i] = sums[i][j]
    return sums


def _precision(products: list[list[Any]], dim: int, unit: Any, prior: Any) -> Any:
    import mpmath

    precision = mpmath.matrix(dim, dim)
    for i in range(dim):
        for j in range(dim):
            precision[i, j] = products[i][j] * unit + (prior if i == j else 0)
    return precision
