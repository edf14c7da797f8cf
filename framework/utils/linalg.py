"""Linear algebra: compensated sums, second moments, least squares, points of the unit ball."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 1024
"""How many products are summed plainly before their sum is added with compensation."""


def add_products(
    total: Tensor,  # (B, p, q)
    lost: Tensor,  # (B, p, q), what rounding has kept out of ``total`` so far
    left: Tensor,  # (B, n, p)
    right: Tensor,  # (B, n, q)
    discount: float = 1.0,
) -> tuple[Tensor, Tensor]:  # (B, p, q), (B, p, q)
    """Compensated sum ρ·total + leftᵀ·right; the rounding error is carried to the next call.

    A plain sum of n terms is off by about √n roundings, which a solve multiplies by the condition number; this one by
    about one. What is forgotten is subtracted as (1 − ρ)·total, whose rounding is that much smaller than that of
    ρ·total.

    Reference:
        Kahan, Further remarks on reducing truncation errors, 1965.
    """
    for start in range(0, max(left.shape[1], 1), BLOCK):
        rows, columns = (left, right) if left.shape[1] <= BLOCK else (_block(left, start), _block(right, start))
        term = lost.baddbmm(rows.mT, columns, beta=discount)
        if discount != 1.0:
            term.sub_(total, alpha=1.0 - discount)
            discount = 1.0
        rounded = total + term
        lost = term.sub_(rounded - total)
        total = rounded
    return total, lost


def _block(rows: Tensor, start: int) -> Tensor:  # (B, n, p) -> (B, ≤ BLOCK, p)
    return rows[:, start : start + BLOCK]


def second_moment(features: Tensor) -> Tensor:  # (n, d) -> (d, d) float64
    """Second moment C = E[φφᵀ], not centred."""
    x = features.double()
    return x.mT @ x / len(x)


def ridged_inverse(moment: Tensor, relative_ridge: float) -> Tensor:  # (d, d) float64
    """Regularised inverse (C + ε·mean(diag C)·I)⁻¹, with a ridge relative to the scale of C."""
    ridge = relative_ridge * moment.diagonal().mean().clamp(min=torch.finfo(moment.dtype).tiny)
    factor = torch.linalg.cholesky(moment + ridge * torch.eye(len(moment), dtype=moment.dtype, device=moment.device))
    return torch.cholesky_inverse(factor)


EXTRA = 2
"""Normal numbers that a point takes beyond its dimensions."""


def in_unit_ball(noise: Tensor) -> Tensor:  # (*b, d + 2), standard normal -> (*b, d)
    """Points uniform in the unit ball: the first d coordinates of points uniform on the sphere in d + 2 dimensions.

    Reference:
        Harman and Lacko, On decompositional algorithms for uniform sampling from n-spheres and n-balls, 2010.
    """
    return noise[..., :-EXTRA] / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)


RELATIVE_RIDGE = 1e-6


def least_squares_weights(
    features: Tensor,  # (n, d)
    rewards: Tensor,  # (n, m), one column a task
    relative_ridge: float = RELATIVE_RIDGE,
) -> Tensor:  # (m, d) float64
    """Least-squares weights argmin_w ‖Φw − r‖² of each column in float64, with a ridge relative to the features' scale.

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023, section 4.
    """
    inverse = ridged_inverse(second_moment(features), relative_ridge)
    moments = features.double().mT @ rewards.double() / len(features)
    return (inverse @ moments).mT
