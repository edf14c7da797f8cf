"""Diversity of the policies of different z."""

from __future__ import annotations

import torch
from torch import Tensor


def share_of_latent(values: Tensor) -> float:  # (K, R, *m), K latents, R >= 2 repetitions each
    """The share of the variance of ``values`` that goes with z: the intraclass correlation ICC(1), not below 0.

    (M_b − M_w)/(M_b + (R − 1) M_w), with M_b and M_w the mean squares between and within latents, added up over the
    entries of a vector. 1 where z decides everything, 0 where episodes of one z differ as much as those of different
    ones, and where nothing differs at all.

    Raises:
        ValueError: with fewer than two latents or repetitions.

    Reference:
        Shrout and Fleiss, Intraclass correlations: uses in assessing rater reliability, 1979.
    """
    if values.ndim < 2 or min(values.shape[:2]) < 2:
        raise ValueError(f"values must be (K, R, ...) with K and R at least 2, got {tuple(values.shape)}")
    values = values.double().flatten(2) if values.ndim > 2 else values.double().unsqueeze(-1)
    latents, repetitions = values.shape[:2]
    means = values.mean(1)  # (K, m)
    between = repetitions * (means - means.mean(0)).square().sum() / (latents - 1)
    within = (values - means.unsqueeze(1)).square().sum() / (latents * (repetitions - 1))
    total = between + (repetitions - 1) * within
    # Rounding alone is no difference.
    if not total > 1e-12 * values.square().mean():
        return 0.0
    return max(0.0, float((between - within) / total))


def specialisation(returns: Tensor) -> float:  # (K, K), of policy i on reward j; z_i is meant for reward i
    """How many of the other policies the one meant for a reward beats, as a share; ties count half.

    1 where every policy is the best of all at what it is meant for, 1/2 where z makes no difference, or a random one.
    """
    meant = returns.diagonal()
    wins = (meant > returns).double() + 0.5 * (meant == returns).double()
    others = ~torch.eye(len(returns), dtype=torch.bool)
    return float(wins[others].mean())
