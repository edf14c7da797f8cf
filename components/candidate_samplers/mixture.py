"""Candidate weights of several samplers."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, CandidateSampler, Posterior
from bfmkit.registry import register


@register(CandidateSampler, "mixture")
class MixtureCandidates(CandidateSampler):
    """Candidates of several samplers, each with noise of its own.

    Before the first reward the posterior's mean and the previous choice are both zero, and so is the latent of such
    weights, for which no policy was trained: the first sampler's first candidate takes their place.

    Args:
        samplers: whose candidates to take, in this order, at least one.
        include_mean: whether the posterior's mean is one more candidate.
        include_previous: whether the weights chosen last are one more candidate.

    Raises:
        ValueError: if there is no sampler.

    Example:
        ``candidates: {type: mixture, samplers: [{type: ellipsoid}, {type: sphere}], include_mean: true}``
    """

    def __init__(
        self, samplers: list[CandidateSampler], include_mean: bool = False, include_previous: bool = False
    ) -> None:
        if not samplers:
            raise ValueError(
                "a mixture needs at least one sampler: the posterior's mean and the previous choice are zero at first, "
                "and zero is no task to act for"
            )
        self.samplers, self.include_mean, self.include_previous = samplers, include_mean, include_previous

    def require(self, posterior: Posterior, has_radius: bool) -> None:
        for sampler in self.samplers:
            sampler.require(posterior, has_radius)

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (sum(math.prod(sampler.noise_shape(dim)) for sampler in self.samplers),)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        noise, taken, drawn = context.noise, 0, []
        for sampler in self.samplers:
            shape = sampler.noise_shape(context.weights.shape[-1])
            own = noise[:, taken : taken + math.prod(shape)].reshape(len(noise), *shape)
            drawn.append(sampler.draw(replace(context, noise=own)))
            taken += math.prod(shape)
        further = [context.posterior.mean(context.belief)] if self.include_mean else []
        further += [context.weights.double()] if self.include_previous else []
        for weights in further:
            candidate = weights.unsqueeze(-2)
            drawn.append(torch.where(candidate.any(-1, keepdim=True), candidate, drawn[0][..., :1, :].to(candidate)))
        return torch.cat(drawn, dim=-2)
