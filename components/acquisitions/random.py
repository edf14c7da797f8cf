"""Random acquisition: a direction drawn uniformly."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, AcquisitionContext
from bfmkit.registry import register


@register(Acquisition, "random")
class RandomAcquisition(Acquisition):
    """Direction drawn uniformly from the sphere, whatever the belief.

    Example:
        ``acquisition: {type: random}``
    """

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (dim,)

    def propose(self, context: AcquisitionContext) -> Tensor:  # (B, d)
        noise = context.noise
        return noise / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
