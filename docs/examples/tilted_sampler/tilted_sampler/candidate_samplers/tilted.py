"""Candidates from an ellipsoid that is turned the wrong way."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.interfaces import AcquisitionContext, CandidateSampler
from bfmkit.registry import register


@register(CandidateSampler, "tilted")
class TiltedCandidates(EllipsoidCandidates):
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

    def map(
        self,
        context: AcquisitionContext,
        points: Tensor,  # (B, k, d), in a ball around 0
    ) -> Tensor:  # (B, k, d)
        mean = context.posterior.mean(context.belief).unsqueeze(-2)
        # A posterior maps noise ε to ŵ + Sε, so unit vectors give the columns of S: here as rows, which makes Sᵀ.
        unit = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device).expand(len(mean), -1, -1)
        transposed_root = context.posterior.from_base_samples(context.belief, unit) - mean
        # Rows times S are columns times Sᵀ.
        return mean + points @ transposed_root.mT
