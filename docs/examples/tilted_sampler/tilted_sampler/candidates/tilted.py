"""Candidates from an ellipsoid that is turned the wrong way."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import CandidateSampler, Situation
from bfmkit.registry import register


@register(CandidateSampler, "tilted")
class TiltedCandidates(CandidateSampler):
    r"""Weights drawn with the transposed root of the covariance: w_j = ŵ + Sᵀ·(α β u_j), u_j uniform in the unit ball.

    The covariance of the belief is S Sᵀ, so the candidates of ``ellipsoid`` are ŵ + S·(α β u_j). Those of Sᵀ fill an
    ellipsoid with the same axes' lengths that points elsewhere: directions that are well known are explored, and
    directions that are not are left out. The two agree as long as S is diagonal, as it is before any reward.

    Args:
        count: how many weights to draw.
        inflation: α, how much larger than the confidence ellipsoid the one drawn from is.
        radius: β; None takes the radius of the acquisition rule that asks.

    Raises:
        ValueError: if ``count``, ``inflation`` or ``radius`` is not positive; when drawing, if neither this sampler
            nor the rule that asks has a radius.

    Reference:
        The code released with Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026.
    """

    def __init__(self, count: int = 128, inflation: float = 2.0, radius: float | None = None) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not inflation > 0:
            raise ValueError(f"inflation must be positive, got {inflation}")
        if radius is not None and not radius > 0:
            raise ValueError(f"radius must be positive, got {radius}")
        self.count = count
        self.inflation = inflation
        self.radius = radius

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        # A point on the sphere in d + 2 dimensions has its first d coordinates uniform in the ball in d.
        return (self.count, dim + 2)

    def draw(self, situation: Situation) -> Tensor:  # (B, k, d)
        radius = self.radius if self.radius is not None else situation.radius
        if radius is None:
            raise ValueError('candidates "tilted": this acquisition has no radius, so the candidates need one')
        noise = situation.noise
        ball = noise[..., :-2] / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
        scale = self.inflation * radius
        if isinstance(scale, Tensor):  # (B,)
            scale = scale.reshape(-1, 1, 1)
        mean = situation.posterior.mean(situation.belief).unsqueeze(-2)
        # A posterior maps noise ε to ŵ + Sε, so unit vectors give the columns of S: here as rows, which makes Sᵀ.
        unit = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device).expand(len(noise), -1, -1)
        transposed_root = situation.posterior.sample(situation.belief, unit) - mean
        # Rows times S are columns times Sᵀ.
        return mean + scale * ball @ transposed_root.mT
