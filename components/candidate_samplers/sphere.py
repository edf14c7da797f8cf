"""Candidate weights from a sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, CandidateSampler
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt


@register(CandidateSampler, "sphere")
class SphereCandidates(CandidateSampler):
    """Candidate weights drawn uniformly from a sphere around 0.

    Args:
        count: how many weights to draw.
        radius: of the sphere; matters only to models whose policies look at more than the direction of w.

    Raises:
        ValueError: if ``count`` or ``radius`` is not positive.

    Example:
        ``candidates: {type: sphere, count: 128, radius: 1.0}``

    Reference:
        Muller, A Note on a Method for Generating Points Uniformly on N-Dimensional Spheres, 1959.
    """

    def __init__(self, count: PositiveInt = 128, radius: PositiveFloat = 1.0) -> None:
        self.count = count
        self.radius = radius

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (self.count, dim)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        noise = context.noise
        return self.radius * noise / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
