"""How much of a reward the features express."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.inference.least_squares import least_squares_weights
from bfmkit.utils.rng import generator


def explained_variance(
    features: Tensor,  # (n, d)
    rewards: Tensor,  # (n, m), one column a task
) -> Tensor:  # (m,) float64
    """R² = 1 − Σ(r − φᵀŵ)²/Σ(r − r̄)² on one half of the transitions, with ŵ and r̄ from the other half.

    NaN for a reward that is the same everywhere: there is nothing to explain. Negative where φᵀŵ predicts worse than a
    constant would.
    """
    order = torch.from_numpy(generator(0, "halves", 0).permutation(len(features)))
    fitted, held_out = order[: len(order) // 2], order[len(order) // 2 :]
    features, rewards = features.double(), rewards.double()
    weights = least_squares_weights(features[fitted], rewards[fitted])  # (m, d)
    unexplained = (rewards[held_out] - features[held_out] @ weights.mT).square().sum(0)
    total = (rewards[held_out] - rewards[fitted].mean(0)).square().sum(0)
    varies = total > 1e-12 * rewards.square().sum(0)
    return torch.where(varies, 1 - unexplained / total, torch.nan)
