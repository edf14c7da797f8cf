"""Optimism: act for the weights that promise the most."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, CandidateSampler, Situation
from bfmkit.registry import register


@register(Acquisition, "ucb")
class UCBAcquisition(Acquisition):
    r"""The candidate whose policy has the largest upper confidence bound on its return.

    argmax_j min_e [ψ_e(s, π_j(s), z_j)ᵀŵ + β √(ψ_eᵀ V⁻¹ ψ_e)],  z_j = policy_latent(w_j)

    The minimum over the critics is taken after each member's bonus is added, as the paper does.

    Args:
        candidates: the weights w_j to compare.
        confidence_radius: β, a radius and not its square.
        ensemble: what to make of the critics' bounds, their minimum or their mean.

    Raises:
        ValueError: if ``confidence_radius`` is negative.

    Reference:
        Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026, Algorithm 1.
    """

    def __init__(
        self,
        candidates: CandidateSampler,
        confidence_radius: float = 0.1,
        ensemble: Literal["min", "mean"] = "min",
    ) -> None:
        super().__init__()
        if not confidence_radius >= 0:
            raise ValueError(f"confidence_radius must not be negative, got {confidence_radius}")
        if ensemble not in ("min", "mean"):
            raise ValueError(f'ensemble must be "min" or "mean", got {ensemble!r}')
        self.candidates = candidates
        self.confidence_radius = confidence_radius
        self.ensemble = ensemble

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return self.candidates.noise_shape(dim)

    def propose(self, situation: Situation) -> Tensor:  # (B, d)
        situation = replace(situation, radius=self.confidence_radius)
        weights = self.candidates.draw(situation)  # (B, k, d)
        bound = self.bound(situation, weights)
        value, best = bound.max(dim=-1)
        chosen = weights[torch.arange(len(best), device=best.device), best]
        # NaN counts as the largest. Passed on, so that whoever acts sees that the model's predictions went wrong.
        return torch.where(value.isnan().unsqueeze(-1), torch.nan, chosen)

    def bound(
        self,
        situation: Situation,
        weights: Tensor,  # (B, k, d)
    ) -> Tensor:  # (B, k)
        """The upper confidence bound of the return that the policy for each candidate gets."""
        bfm, observation = situation.bfm, situation.observation
        latents = bfm.policy_latent(weights.to(observation.dtype))
        successor_features = bfm.candidate_successor_features(observation, latents)  # (B, k, E, d)
        bounds = situation.posterior.ucb(situation.belief, successor_features, self.confidence_radius)
        return bounds.amin(dim=-1) if self.ensemble == "min" else bounds.mean(dim=-1)
