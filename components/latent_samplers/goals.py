"""Latents of goal states."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import LatentContext, LatentSampler
from bfmkit.registry import register


@register(LatentSampler, "goals")
class GoalLatents(LatentSampler):
    """Latents of goals: policy_latent(E[φφᵀ]⁻¹ φ(x)) for states x of the batch.

    Example:
        ``latent_sampler: {type: goals}``

    Reference:
        Touati and Ollivier, Learning one representation to optimize all rewards, 2021.
    """

    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """The context's goals, as each family defines them."""
        return context.goals
