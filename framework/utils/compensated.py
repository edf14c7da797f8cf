"""Sums of very many terms that stay as exact as their last digit."""

from __future__ import annotations

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
    """ρ·total + leftᵀ·right, with what rounding loses carried over to the next call.

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
