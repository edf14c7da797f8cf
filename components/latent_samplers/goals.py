"""Latents of goal states."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import LatentContext, LatentSampler
from bfmkit.registry import register


@register(LatentSampler, "goals")
class GoalLatents(LatentSampler):
    """z of reaching a state of the batch: policy_latent(E[φφᵀ]⁻¹ φ(x)), the regression of a reward at x alone.

    Reference:
        Touati and Ollivier, Learning one representation to optimize all rewards, 2021.
    """

    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """The context's goals, as each family defines them."""
        return context.goals
