"""Candidate weights from the confidence ellipsoid."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, CandidateSampler, Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.linalg import EXTRA, in_unit_ball

NO_RADIUS = 'candidates "ellipsoid": this acquisition has no radius, so the candidates need one of their own'


@register(CandidateSampler, "ellipsoid")
class EllipsoidCandidates(CandidateSampler):
    r"""Candidate weights drawn uniformly from the inflated confidence ellipsoid of the posterior.

    w_j = ŵ + S·(α β u_j), u_j uniform in the unit ball, S Sᵀ the posterior's covariance: ‖w_j − ŵ‖ ≤ α β in the norm
    of the precision.

    With a radius of 0 every candidate is ŵ, and before a reward has come, where that is 0 and no task, a direction.

    In many dimensions nearly all of a ball lies near its surface, so the centre is never a candidate; a ``mixture``
    adds it.

    Args:
        count: how many weights to draw.
        inflation: α, how much larger than the confidence ellipsoid the one drawn from is.
        radius: β; None takes the radius of the acquisition rule that asks.

    Raises:
        ValueError: if ``count``, ``inflation`` or ``radius`` is not positive; when an agent is built, or else when
            drawing, if neither this sampler nor the rule that asks has a radius.

    Example:
        ``candidates: {type: ellipsoid, count: 128, inflation: 2.0}``

    Reference:
        Harman and Lacko, On decompositional algorithms for uniform sampling from n-spheres and n-balls, 2010.
    """

    def __init__(
        self, count: PositiveInt = 128, inflation: PositiveFloat = 2.0, radius: PositiveFloat | None = None
    ) -> None:
        self.count, self.inflation, self.radius = count, inflation, radius

    def require(self, posterior: Posterior, has_radius: bool) -> None:
        if self.radius is None and not has_radius:
            raise ValueError(NO_RADIUS)

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (self.count, dim + EXTRA)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        radius = self.radius if self.radius is not None else context.radius
        if radius is None:
            raise ValueError(NO_RADIUS)
        scale = self.inflation * radius
        points = in_unit_ball(context.noise)
        if isinstance(scale, Tensor):  # (B,)
            scale = scale.reshape(-1, 1, 1)
        drawn = self.map(context, scale * points)
        if not isinstance(scale, Tensor) and scale == 0:
            return torch.where(drawn.any(dim=-1, keepdim=True), drawn, points.to(drawn.dtype))
        return drawn

    def map(
        self,
        context: AcquisitionContext,
        points: Tensor,  # (B, k, d), in a ball around 0
    ) -> Tensor:  # (B, k, d)
        """The ellipsoid's points for those of a ball."""
        return context.posterior.from_base_samples(context.belief, points)
