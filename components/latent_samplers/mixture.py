"""Mixture of latent samplers."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import DrawnRewards, LatentContext, LatentSampler
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat


@register(LatentSampler, "mixture")
class MixtureLatents(LatentSampler):
    """Mixture of samplers: each row's z comes from one of several, chosen at random.

    Args:
        samplers: the components of the mixture.
        shares: their probabilities, up to a common factor.

    Raises:
        ValueError: if there is not one share a sampler, or a share is negative, or all are zero.

    Example:
        ``latent_sampler: {type: mixture, samplers: [{type: goals}, {type: sphere}], shares: [1, 1]}``
    """

    def __init__(self, samplers: list[LatentSampler], shares: list[NonNegativeFloat]) -> None:
        if len(samplers) != len(shares) or not samplers:
            raise ValueError(f"{len(samplers)} samplers need as many shares, got {len(shares)}")
        if sum(shares) <= 0:
            raise ValueError(f"shares must not all be zero, got {shares}")
        self.samplers = samplers
        self.shares = [share / sum(shares) for share in shares]

    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """Every sampler draws for all rows; each row keeps one draw."""
        choice = torch.rand(len(context.goals), 1, device=context.goals.device)
        z, beyond = self.samplers[-1].sample(context), 1.0
        for sampler, share in zip(self.samplers[-2::-1], self.shares[:0:-1], strict=True):
            beyond -= share
            z = torch.where(choice < beyond, sampler.sample(context), z)
        return z

    def draw_rewards(self, observation: Tensor) -> DrawnRewards | None:
        """Those of the first sampler that draws any."""
        return next((drawn for each in self.samplers if (drawn := each.draw_rewards(observation)) is not None), None)
