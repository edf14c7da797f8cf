"""Rewards to try a model on that nobody chose."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.utils.rng import normal_noise
from bfmkit.utils.second_moment import second_moment

SMALLEST = 1e-10
"""Directions with a smaller share of the largest eigenvalue count as absent."""


def random_weights(
    features: Tensor,  # (n, d)
    count: int,
    seed: int,
) -> Tensor:  # (count, d) float64
    """Weights w ~ N(0, C⁺), C the features' second moment, so that φᵀw is about 1 in the mean square over the data.

    The same rewards whatever linear map the features went through.
    """
    values, vectors = torch.linalg.eigh(second_moment(features).cpu())
    present = values > SMALLEST * values[-1]
    roots = torch.where(present, values, 1.0).rsqrt() * present
    noise = normal_noise([seed], "random rewards", [0], (count, len(values)))[0]
    rank = present.sum().clamp(min=1)
    return ((noise * roots) @ vectors.mT / rank.sqrt()).to(features.device)
