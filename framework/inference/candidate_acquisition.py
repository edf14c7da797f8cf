"""Base class of acquisition rules that score candidates by the critics."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, AcquisitionContext, CandidateSampler, Posterior


class CandidateAcquisition(Acquisition):
    r"""Base class of rules argmax_j agg_e score(ψ_e(s, π_j(s), z_j)), z_j = policy_latent(w_j), agg minimum or mean.

    A subclass says what a critic's successor features are worth (:meth:`score`), and which confidence radius its
    candidates may go by (:meth:`radius`).

    Args:
        candidates: the weights w_j to compare.
        ensemble: what to make of the critics' scores, their minimum or their mean.

    Raises:
        ValueError: if ``ensemble`` is neither.
    """

    def __init__(self, candidates: CandidateSampler, ensemble: Literal["min", "mean"] = "min") -> None:
        super().__init__()
        self.candidates = candidates
        self.ensemble = ensemble

    @abstractmethod
    def score(self, context: AcquisitionContext, successor_features: Tensor) -> Tensor:  # (B, k, E, d) -> (B, k, E)
        """Score of each critic's successor features; the largest wins."""

    def radius(self, context: AcquisitionContext) -> float | Tensor | None:  # a Tensor is (B,)
        """Confidence radius of each run."""
        return None

    @property
    def has_radius(self) -> bool:
        """Whether the rule has a confidence radius (:meth:`radius`)."""
        return type(self).radius is not CandidateAcquisition.radius

    def require(self, posterior: Posterior) -> None:
        self.candidates.require(posterior, self.has_radius)

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return self.candidates.noise_shape(dim)

    def propose(self, context: AcquisitionContext) -> Tensor:  # (B, d)
        context = replace(context, radius=self.radius(context), value=self.value)
        weights = self.candidates.draw(context)  # (B, k, d)
        value, best = self.value(context, weights).max(dim=-1)
        chosen = weights[torch.arange(len(best), device=best.device), best]
        # NaN counts as the largest. Passed on, so that whoever acts sees that the model's predictions went wrong.
        return torch.where(value.isnan().unsqueeze(-1), torch.nan, chosen)

    def value(self, context: AcquisitionContext, weights: Tensor) -> Tensor:  # (B, k, d) -> (B, k)
        """Value of each candidate, aggregated over critics; differentiable as far as the model is."""
        bfm, observation = context.bfm, context.observation
        latents = bfm.policy_latent(weights.to(observation.dtype))
        scores = self.score(context, bfm.candidate_successor_features(observation, latents))
        return scores.amin(dim=-1) if self.ensemble == "min" else scores.mean(dim=-1)
