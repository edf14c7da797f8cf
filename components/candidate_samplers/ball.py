"""Candidate weights from a ball."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, CandidateSampler
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.linalg import EXTRA, in_unit_ball


@register(CandidateSampler, "ball")
class BallCandidates(CandidateSampler):
    r"""Candidate weights drawn uniformly from a ball, whatever the posterior says.

    w_j = c + ρ u_j,  c = 0 or ŵ,  u_j uniform in the unit ball

    A model whose policies look at the direction of w alone sees no difference between a ball around 0 and a sphere.

    Args:
        count: how many weights to draw.
        radius: ρ.
        center: c, ``origin`` or the posterior's ``mean``.

    Raises:
        ValueError: if ``count`` or ``radius`` is not positive, or ``center`` is neither.

    Example:
        ``candidates: {type: ball, count: 128}``

    Reference:
        Harman and Lacko, On decompositional algorithms for uniform sampling from n-spheres and n-balls, 2010.
    """

    def __init__(
        self, count: PositiveInt = 128, radius: PositiveFloat = 1.0, center: Literal["origin", "mean"] = "origin"
    ) -> None:
        self.count, self.radius, self.center = count, radius, center

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (self.count, dim + EXTRA)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        drawn = self.radius * in_unit_ball(context.noise)
        if self.center == "mean":
            drawn = drawn + context.posterior.mean(context.belief).unsqueeze(-2)
        return drawn
