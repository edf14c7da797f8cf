"""Confidence radii: self-normalised, and in two stages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.utils.checks import NonNegativeFloat, OpenShare, PositiveFloat, PositiveInt, check_ranges


@check_ranges
@dataclass(frozen=True)
class SelfNormalizedRadius:
    r"""The self-normalised radius: ‖ŵ_t − w‖ ≤ β_t in the norm of V_t, for all t at once, with probability 1 − δ.

    β_t = R/σ √(ln det V_t − d ln λ + 2 ln(1/δ)) + √λ S + ε √(tr V_t − dλ),  V_t = λI + Σ φφᵀ/σ²

    It holds for least squares without forgetting, and rewards that are φᵀw, an error of at most ε‖φ‖, and noise. λ, σ
    and V are the posterior's (σ = 1 for ``ridge``), so the noise need not be what the posterior believes.

    Args:
        delta: δ in (0, 1), how likely it may fail.
        noise_bound: R ≥ 0: the noise is R-sub-Gaussian. Rewards between 0 and 1 have R ≤ 1/2, rewards that are a
            function of the transition R = 0, if the features can express them.
        weight_norm: S > 0: ‖w‖ ≤ S.
        misspecification: ε ≥ 0, what the features leave of a reward, in units of their norm. Errors do not average out
            along a policy's walk, so the radius grows with the square root of the labels where ε > 0.
        type: its name in recipes.

    Raises:
        ValueError: for a number out of its range.

    Reference:
        Abbasi-Yadkori et al., Improved Algorithms for Linear Stochastic Bandits, 2011, theorem 2; the last term is
        that of ``docs/theory.md``, "Rewards that the features do not express".
    """

    delta: OpenShare = 0.05
    noise_bound: NonNegativeFloat = 0.5
    weight_norm: PositiveFloat = 1.0
    misspecification: NonNegativeFloat = 0.0
    type: Literal["self_normalized"] = "self_normalized"

    def of(self, posterior: Posterior, belief: TensorDictBase) -> Tensor:  # batch (B,) -> (B,)
        """Radius β of each belief.

        Raises:
            ValueError: for a posterior that the theorem is not about.
        """
        if not (isinstance(posterior, NormalPosterior) and posterior.is_least_squares and posterior.discount == 1):
            raise ValueError(
                "a theoretical confidence_radius is known for least squares without forgetting (posteriors ridge and "
                f"bayesian with discount 1), not for this {type(posterior).__name__}; give a number"
            )
        dim, regularization = posterior.mean(belief).shape[-1], posterior.prior_precision
        # Rounding may leave the growth a hair below zero.
        growth = (posterior.log_determinant(belief) - dim * math.log(regularization)).clamp(min=0)
        deviation = (growth + 2 * math.log(1 / self.delta)).sqrt()
        radius = self.noise_bound / posterior.noise_std * deviation + math.sqrt(regularization) * self.weight_norm
        if self.misspecification > 0:
            trace = belief["precision"].diagonal(dim1=-2, dim2=-1).sum(-1)
            radius = radius + self.misspecification * (trace - dim * regularization).clamp(min=0).sqrt()
        return radius


@check_ranges
@dataclass(frozen=True)
class TwoStageRadius:
    """A large radius in a run's first episodes, a small one from then on.

    Rewards that the features express only in part need both: a small radius settles on what the first policies
    happened to show, and a large one tries policies for longer than an episode's return can bear, for the width that
    it multiplies shrinks with one over the square root of the labels. Episodes and not rewards are counted, so that
    short episodes, and rewards that are rarely observed, have both stages too.

    Args:
        initial: the radius in the first episodes.
        episodes: how many these are.
        final: the radius afterwards.
        type: its name in recipes.

    Raises:
        ValueError: if a number is not positive and finite.

    Example:
        ``agent.acquisition.confidence_radius={type: two_stage, initial: 5.0, episodes: 3, final: 0.1}``
    """

    initial: PositiveFloat
    episodes: PositiveInt
    final: PositiveFloat = 0.1
    type: Literal["two_stage"] = "two_stage"

    def of(self, episode: Tensor) -> Tensor:  # (B,) int64 -> (B,) float64
        """Radius of each run, by the number of its present episode, from 0."""
        return torch.where(episode < self.episodes, self.initial, self.final).double()

    def stage(self, episodes: int) -> str:
        """Stage in which a run of ``episodes`` episodes ends, in words."""
        if episodes > self.episodes:
            return f"final stage, confidence_radius {self.final:g}, since episode {self.episodes + 1}"
        return (
            f"initial stage, confidence_radius {self.initial:g}, to the end: it takes {self.episodes} episodes and the "
            f"run had {episodes}; lower confidence_radius.episodes, or run more episodes"
        )
