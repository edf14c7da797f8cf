"""Bound on the regret of optimism over a pool of policies, with its constants."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bfmkit.inference.confidence_radius import SelfNormalizedRadius


@dataclass(frozen=True)
class RegretBound:
    r"""With probability 1 − δ, after any number N of episodes, the regret is at most

    2κ β_N √( c N · ρ/z · e/(e−1) · (Γ_N + z ln(2/δ)) )

    κ² = Σ_{t<H} γ^{2t},  ρ = K/λ,  z = ln(1 + ρ),  Γ_N = d ln(1 + N K/(λd)),  β_N = √(Γ_N + 2 ln(2/δ)) + √λ S

    for the rule that follows the policy with the largest ψᵀŵ + β√(ψᵀV⁻¹ψ) for a whole episode, and chooses again when
    det V has grown by the factor c. Rewards are φᵀw and 1-sub-Gaussian noise; ‖φ‖ ≤ 1, ‖w‖ ≤ S. K bounds what an
    episode can add to the trace of V: H where each step's reward is a label, (Σ γ^t)²/κ² where the discounted return,
    divided by κ, is the only one. ``docs/theory.md`` has the proof.
    """

    dim: int  # d
    horizon: int  # H, steps an episode
    discount: float  # γ
    regularization: float  # λ
    weight_norm: float  # S
    delta: float  # δ, shared equally by the radius and by the step from expected to observed features
    factor: float = 1.0  # c ≥ 1
    returns_only: bool = False  # whether an episode's return is its only label

    @property
    def scale(self) -> float:
        """κ."""
        return math.sqrt(sum(self.discount ** (2 * step) for step in range(self.horizon)))

    @property
    def label_size(self) -> float:
        """K."""
        if self.returns_only:
            return sum(self.discount**step for step in range(self.horizon)) ** 2 / self.scale**2
        return float(self.horizon)

    @property
    def confidence(self) -> SelfNormalizedRadius:
        """The radius that the rule must use, from det V itself."""
        return SelfNormalizedRadius(delta=self.delta / 2, noise_bound=1.0, weight_norm=self.weight_norm)

    def information(self, episodes: np.ndarray) -> np.ndarray:
        """Γ_N ≥ ln(det V_N / λ^d)."""
        return self.dim * np.log1p(episodes * self.label_size / (self.regularization * self.dim))

    def radius(self, episodes: np.ndarray) -> np.ndarray:
        """β_N, at least the radius after N episodes."""
        deviation = np.sqrt(self.information(episodes) + 2 * math.log(2 / self.delta))
        return deviation + math.sqrt(self.regularization) * self.weight_norm

    def regret(self, episodes: np.ndarray) -> np.ndarray:
        """The bound after N episodes, for each N."""
        ratio = self.label_size / self.regularization
        most = math.log1p(ratio)
        observed = self.information(episodes) + most * math.log(2 / self.delta)
        expected = ratio / most * math.e / (math.e - 1) * observed
        return 2 * self.scale * self.radius(episodes) * np.sqrt(self.factor * episodes * expected)
