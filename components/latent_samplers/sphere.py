"""Latents uniform on the sphere."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import LatentContext, LatentSampler
from bfmkit.registry import register


@register(LatentSampler, "sphere")
class SphereLatents(LatentSampler):
    """Latents drawn uniformly from the sphere of radius √d.

    Example:
        ``latent_sampler: {type: sphere}``
    """

    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """A normalised Gaussian a row."""
        return context.policy_latent(torch.randn_like(context.goals))

    def __repr__(self) -> str:
        return "SphereLatents()"
