"""Regret bound for updates at single steps, in a problem without episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ContinuingBound:
    r"""With probability 1 − δ, after any number T of steps, Σ_t (g* − r_t) is at most

    2β_T √(c T ρ/z Γ_T) + K_T (H + 2β_T D/√λ) + (2 + D)/(2√λ) L(4β_T² T) + (S + H/2) L(T) + 2εT

    Γ_T = d ln(1 + T/(λd)),  K_T = 1 + Γ_T/ln c,  β_T = √(Γ_T + 2 ln(3/δ)) + √λ S + ε√T
    ρ = 1/λ,  z = ln(1 + ρ),  L(a) = √((1 + a)(ln(1 + a) + 2 ln(3/δ)))

    for the rule that follows the policy with the largest φ̄ᵀŵ + β_t ‖φ̄‖_{V⁻¹} and looks at every step, but chooses again
    only when det V has grown by the factor c. r_t is a reward without its noise. ``docs/theory.md`` has the proof.
    """

    dim: int  # d
    regularization: float  # λ
    weight_norm: float  # S
    delta: float  # δ, shared equally by the radius and the two martingales
    factor: float  # c > 1
    feature_span: float  # D, the largest distance between two values of a policy's bias in features
    value_span: float  # H, the largest span of a policy's bias in rewards
    misspecification: float = 0.0  # ε, the largest error of φᵀw as a reward

    def information(self, steps: np.ndarray) -> np.ndarray:
        """Γ_T ≥ ln(det V_T / λ^d)."""
        return self.dim * np.log1p(steps / (self.regularization * self.dim))

    def radius(self, information: np.ndarray, steps: np.ndarray | float) -> np.ndarray:
        """β for ln(det V/λ^d) after so many steps: what the rule must use."""
        plain = np.sqrt(information + 2 * math.log(3 / self.delta)) + math.sqrt(self.regularization) * self.weight_norm
        return plain + self.misspecification * np.sqrt(steps)

    def choices(self, steps: np.ndarray) -> np.ndarray:
        """K_T, at least the number of policies chosen."""
        return 1 + self.information(steps) / math.log(self.factor)

    def regret(self, steps: np.ndarray) -> np.ndarray:
        """The bound after T steps, for each T."""
        information, root = self.information(steps), math.sqrt(self.regularization)
        radius, ratio = self.radius(information, steps), 1 / self.regularization
        optimism = 2 * radius * np.sqrt(self.factor * steps * ratio / math.log1p(ratio) * information)
        changes = self.choices(steps) * (self.value_span + 2 * radius * self.feature_span / root)
        features = (2 + self.feature_span) / (2 * root) * self._deviation(4 * radius**2 * steps)
        rewards = (self.weight_norm + self.value_span / 2) * self._deviation(steps)
        return optimism + changes + features + rewards + 2 * self.misspecification * steps

    def _deviation(self, variance: np.ndarray) -> np.ndarray:
        return np.sqrt((1 + variance) * (np.log1p(variance) + 2 * math.log(3 / self.delta)))
