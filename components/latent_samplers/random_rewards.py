"""Latents of random rewards over named entries of the observation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bfmkit.interfaces import DrawnRewards, EnvironmentSpec, LatentContext, LatentSampler
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat, Share

VALUE_AT_MARGIN = 0.1
NETWORK_WIDTH = 32


@register(LatentSampler, "random_rewards")
class RandomRewardLatents(LatentSampler):
    r"""Latents of random rewards: products of tolerances of named entries, linear rewards, random networks.

    A product has a factor for each entry with probability ``include``, and at least one:

        r(x) = ∏_j 0.1^(δ_j² / m_j²),   δ_j = how far x_j lies below / above / from a threshold
        thresholds: x_j of a random state of the batch; margins m_j log-uniform

    A threshold to be above is the larger of two states', one to be below the smaller, so that rewards lead away from
    what is common. Linear rewards are xᵀu, network rewards those of a random two-layer network with tanh, of Gaussian
    weights. x is standardised and clipped. z is that of the ridge regression of the rewards on the batch's features.

    No task's reward enters; which entries matter is chosen by whoever writes the recipe.

    Args:
        spec: the names of the observation's entries.
        entries: which entries rewards are functions of, by name.
        include: probability of each entry's factor in a product.
        directions: probabilities of above, below and near.
        margins: smallest and largest m_j.
        linear: share of linear rewards.
        network: share of network rewards; the rest are products.
        clip: largest standardised entry.

    Raises:
        ValueError: if there is no such entry, shares are not shares, or margins not positive and in order.

    Example:
        ``latent_sampler: {type: random_rewards, entries: [height, torso_upright]}``

    Reference:
        Frans et al., Unsupervised zero-shot reinforcement learning via functional reward encodings, 2024.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        entries: list[str],
        include: Discount = 0.6,
        directions: list[float] | None = None,
        margins: list[float] | None = None,
        linear: Share = 0.0,
        network: Share = 0.0,
        clip: PositiveFloat = 6.0,
    ) -> None:
        directions, margins = directions or [0.6, 0.2, 0.2], margins or [0.2, 2.0]
        if not entries:
            raise ValueError(f"random rewards need entries to be functions of ({', '.join(spec.observation_names)})")
        if len(directions) != 3 or min(directions) < 0 or not math.isclose(sum(directions), 1):
            raise ValueError(f"directions must be three probabilities that sum to 1, got {directions}")
        if len(margins) != 2 or not 0 < margins[0] <= margins[1]:
            raise ValueError(f"margins must be two positive numbers in order, got {margins}")
        if linear + network > 1:
            raise ValueError(f"linear and network must be shares that sum to at most 1, got {linear} and {network}")
        self.include, self.directions, self.margins = include, directions, margins
        self.linear, self.network, self.clip = linear, network, clip
        self._names, self._entries = entries, spec.entries(entries)

    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """A reward a row, and its z."""
        return context.regress(self.rewards(context.observation))

    def draw_rewards(self, observation: Tensor) -> DrawnRewards:  # (N, o), standardised
        """One a row."""
        entries = zip(self._names, observation[:, self._entries].unbind(1), strict=True)
        return DrawnRewards(dict(entries), self.rewards(observation))

    def rewards(self, observation: Tensor) -> Tensor:  # (N, o) -> (N, N)
        """At each state (first axis) the value of N random rewards (second axis), one a row of the batch."""
        x = observation[:, self._entries].clamp(-self.clip, self.clip)
        rewards = self._products(x)
        choice = torch.rand(len(x), device=x.device)
        if self.linear > 0:
            rewards = torch.where(choice < self.linear, x @ torch.randn(x.mT.shape, device=x.device), rewards)
        if self.network > 0:
            rewards = torch.where(choice > 1 - self.network, self._networks(x), rewards)
        return rewards

    def _products(self, x: Tensor) -> Tensor:  # (N, q) -> (N, N)
        n, q = x.shape
        first, second = (x.mT.gather(1, torch.randint(n, (q, n), device=x.device)) for _ in range(2))
        direction = torch.rand(q, n, device=x.device)
        above, below = direction < self.directions[0], direction > 1 - self.directions[1]
        threshold = torch.where(above, first.maximum(second), torch.where(below, first.minimum(second), first))
        lowest, highest = (math.log(margin) for margin in self.margins)
        margin = torch.exp(lowest + (highest - lowest) * torch.rand(q, n, device=x.device))
        included = torch.rand(q, n, device=x.device) < self.include
        # One factor at least.
        included |= torch.arange(q, device=x.device).unsqueeze(-1) == torch.randint(q, (n,), device=x.device)
        # Distance to the threshold counts on one side alone where the direction has one.
        infinite = torch.full_like(margin, math.inf)
        lower, upper = torch.where(above, 0.0, -infinite), torch.where(below, 0.0, infinite)
        scale = math.sqrt(-math.log(VALUE_AT_MARGIN)) * included / margin
        exponent = torch.zeros(n, n, device=x.device)
        for j in range(q):
            # In place: these matrices are the largest of an update.
            short = (threshold[j] - x[:, j : j + 1]).clamp_(lower[j], upper[j]).mul_(scale[j])
            exponent.addcmul_(short, short, value=-1.0)
        return exponent.exp_()

    def _networks(self, x: Tensor) -> Tensor:  # (N, q) -> (N, N)
        """Every reward reads ``NETWORK_WIDTH`` shared hidden units with weights of its own."""
        hidden = torch.tanh(
            x @ torch.randn(x.shape[1], NETWORK_WIDTH, device=x.device) + torch.randn(NETWORK_WIDTH, device=x.device)
        )
        return hidden @ torch.randn(NETWORK_WIDTH, len(x), device=x.device) / math.sqrt(NETWORK_WIDTH)
