"""Pure exploration: the candidate with the largest expected information gain."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from bfmkit.inference.candidate_acquisition import CandidateAcquisition
from bfmkit.interfaces import Acquisition, AcquisitionContext, CandidateSampler
from bfmkit.registry import register


@register(Acquisition, "information")
class InformationAcquisition(CandidateAcquisition):
    r"""Candidate whose policy has the largest expected information gain about w.

    argmax_j min_e [ln det(V + ψ_e ψ_eᵀ) − ln det V],  ψ_e = ψ_e(s, π_j(s), z_j),  z_j = policy_latent(w_j)

    ψ stands for all that the policy will see, as if it came in one observation. That overstates how much a policy
    learns that sees one thing many times, and understates it for one that sees different things which cancel.

    The rule has no confidence radius, so candidates that need one bring their own; an agent is refused that has others.

    Args:
        candidates: the weights w_j to compare.
        ensemble: what to make of the critics' gains, their minimum or their mean.

    Example:
        ``acquisition: {type: information, candidates: {type: ellipsoid}}``

    Reference:
        Pukelsheim, Optimal Design of Experiments, 1993, chapter 6.
    """

    def __init__(self, candidates: CandidateSampler, ensemble: Literal["min", "mean"] = "min") -> None:
        super().__init__(candidates, ensemble)

    def score(self, context: AcquisitionContext, successor_features: Tensor) -> Tensor:  # (B, k, E, d) -> (B, k, E)
        return context.posterior.information_gain(context.belief, successor_features)
