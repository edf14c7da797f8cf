"""Candidates from the confidence ellipsoid."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import CandidateSampler, Situation
from bfmkit.registry import register


@register(CandidateSampler, "ellipsoid")
class EllipsoidCandidates(CandidateSampler):
    r"""Weights drawn uniformly from the inflated confidence ellipsoid of the posterior.

    w_j = ŵ + S·(α β u_j), u_j uniform in the unit ball, S Sᵀ the posterior's covariance: ‖w_j − ŵ‖ ≤ α β in the norm
    of the precision. The u_j are the first d coordinates of points uniform on the sphere in d + 2 dimensions, so that
    all the noise a draw takes is normal.

    In many dimensions nearly all of a ball lies near its surface, so without ``include_mean`` the centre is never a
    candidate.

    Args:
        count: how many weights to draw.
        inflation: α, how much larger than the confidence ellipsoid the one drawn from is.
        radius: β; None takes the radius of the acquisition rule that asks.
        include_mean: whether ŵ is one more candidate.
        include_previous: whether the weights chosen last are one more candidate.

    Raises:
        ValueError: if ``count``, ``inflation`` or ``radius`` is not positive; when drawing, if neither this sampler
            nor the rule that asks has a radius.

    Reference:
        Harman and Lacko, On decompositional algorithms for uniform sampling from n-spheres and n-balls, 2010.
    """

    def __init__(
        self,
        count: int = 128,
        inflation: float = 2.0,
        radius: float | None = None,
        include_mean: bool = False,
        include_previous: bool = False,
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not inflation > 0:
            raise ValueError(f"inflation must be positive, got {inflation}")
        if radius is not None and not radius > 0:
            raise ValueError(f"radius must be positive, got {radius}")
        self.count = count
        self.inflation = inflation
        self.radius = radius
        self.include_mean = include_mean
        self.include_previous = include_previous

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (self.count, dim + 2)

    def draw(self, situation: Situation) -> Tensor:  # (B, k, d)
        radius = self.radius if self.radius is not None else situation.radius
        if radius is None:
            raise ValueError('candidates "ellipsoid": this acquisition has no radius, so the candidates need one')
        noise = situation.noise
        ball = noise[..., :-2] / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
        scale = self.inflation * radius
        if isinstance(scale, Tensor):  # (B,)
            scale = scale.reshape(-1, 1, 1)
        drawn = situation.posterior.sample(situation.belief, scale * ball)
        extra = []
        if self.include_mean:
            extra.append(situation.posterior.mean(situation.belief).unsqueeze(-2))
        if self.include_previous:
            extra.append(situation.weights.to(drawn.dtype).unsqueeze(-2))
        return torch.cat([drawn, *extra], dim=-2) if extra else drawn
