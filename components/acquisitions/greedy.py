"""Greedy acquisition: the weights of the posterior mean."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, AcquisitionContext
from bfmkit.registry import register


@register(Acquisition, "greedy")
class GreedyAcquisition(Acquisition):
    """Posterior mean ŵ; a uniform direction while it is exactly zero.

    Example:
        ``acquisition: {type: greedy}``
    """

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (dim,)

    def propose(self, context: AcquisitionContext) -> Tensor:  # (B, d)
        mean = context.posterior.mean(context.belief)
        undecided = ~mean.any(dim=-1, keepdim=True)
        if not undecided.any():
            return mean
        direction = context.noise / torch.linalg.vector_norm(context.noise, dim=-1, keepdim=True)
        return torch.where(undecided, direction.to(mean.dtype), mean)
