"""Upper confidence bound over candidate weights."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from bfmkit.inference.candidate_acquisition import CandidateAcquisition
from bfmkit.inference.confidence_radius import SelfNormalizedRadius, TwoStageRadius
from bfmkit.interfaces import Acquisition, AcquisitionContext, CandidateSampler, Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat


@register(Acquisition, "ucb")
class UCBAcquisition(CandidateAcquisition):
    r"""Candidate whose policy has the largest upper confidence bound on its return.

    argmax_j min_e [ψ_e(s, π_j(s), z_j)ᵀŵ + β √(ψ_eᵀ V⁻¹ ψ_e)],  z_j = policy_latent(w_j)

    The minimum over the critics is taken after each member's bonus is added, as the paper does.

    Args:
        candidates: the weights w_j to compare.
        confidence_radius: β, a radius and not its square; ``theoretical``, or a mapping of type
            ``self_normalized``, makes it the self-normalised radius that grows with what is known; a mapping of type
            ``two_stage`` makes it large in the first episodes and small then.
        ensemble: what to make of the critics' bounds, their minimum or their mean.

    Raises:
        ValueError: if ``confidence_radius`` is negative or not finite, or a word other than ``theoretical``; when an
            agent is built, or else when choosing, if it is theoretical and the posterior is none that a radius is
            known for.

    Example:
        ``acquisition: {type: ucb, candidates: {type: ellipsoid}, confidence_radius: 0.1}``

    Reference:
        Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026, Algorithm 1.
    """

    def __init__(
        self,
        candidates: CandidateSampler,
        confidence_radius: NonNegativeFloat | Literal["theoretical"] | SelfNormalizedRadius | TwoStageRadius = 0.1,
        ensemble: Literal["min", "mean"] = "min",
    ) -> None:
        super().__init__(candidates, ensemble)
        if isinstance(confidence_radius, str):
            if confidence_radius != "theoretical":
                raise ValueError(f'confidence_radius must be a number or "theoretical", got {confidence_radius!r}')
            confidence_radius = SelfNormalizedRadius()
        self.confidence_radius = confidence_radius

    def require(self, posterior: Posterior) -> None:
        super().require(posterior)
        if isinstance(self.confidence_radius, SelfNormalizedRadius):
            # Whether a radius is known does not depend on what is believed, so the smallest belief will do.
            self.confidence_radius.of(posterior, posterior.prior(1, 1))

    def stage(self, episodes: int) -> str | None:
        return self.confidence_radius.stage(episodes) if isinstance(self.confidence_radius, TwoStageRadius) else None

    def radius(self, context: AcquisitionContext) -> float | Tensor:
        if isinstance(self.confidence_radius, SelfNormalizedRadius):
            return self.confidence_radius.of(context.posterior, context.belief)
        if isinstance(self.confidence_radius, TwoStageRadius):
            return self.confidence_radius.of(context.episode)
        return self.confidence_radius

    def score(self, context: AcquisitionContext, successor_features: Tensor) -> Tensor:  # (B, k, E, d) -> (B, k, E)
        radius = context.radius
        if radius is None:
            raise ValueError("bounds need the context's confidence radius, which propose() works out")
        if isinstance(radius, Tensor):
            radius = radius.reshape(-1, 1, 1)
        return context.posterior.ucb(context.belief, successor_features, radius)
