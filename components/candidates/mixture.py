"""Candidates of several kinds."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bfmkit.interfaces import CandidateSampler, Situation
from bfmkit.registry import register


@register(CandidateSampler, "mixture")
class MixtureCandidates(CandidateSampler):
    """What each of several samplers draws, side by side, each with noise of its own.

    Args:
        samplers: whose candidates to take, in this order; none only if something is included.
        include_mean: whether the posterior's mean is one more candidate.
        include_previous: whether the weights chosen last are one more candidate.

    Raises:
        ValueError: if there would be no candidate.
    """

    def __init__(
        self, samplers: list[CandidateSampler], include_mean: bool = False, include_previous: bool = False
    ) -> None:
        if not (samplers or include_mean or include_previous):
            raise ValueError("a mixture needs at least one sampler, or something to include")
        self.samplers = samplers
        self.include_mean = include_mean
        self.include_previous = include_previous

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (sum(math.prod(sampler.noise_shape(dim)) for sampler in self.samplers),)

    def draw(self, situation: Situation) -> Tensor:  # (B, k, d)
        noise, taken, drawn = situation.noise, 0, []
        for sampler in self.samplers:
            shape = sampler.noise_shape(situation.weights.shape[-1])
            own = noise[:, taken : taken + math.prod(shape)].reshape(len(noise), *shape)
            drawn.append(sampler.draw(replace(situation, noise=own)))
            taken += math.prod(shape)
        if self.include_mean:
            drawn.append(situation.posterior.mean(situation.belief).unsqueeze(-2))
        if self.include_previous:
            drawn.append(situation.weights.double().unsqueeze(-2))
        return torch.cat(drawn, dim=-2)
