"""Robust linear regression: Student-t noise."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat

ITERATIONS = 25
"""Of the fixed point for the weight of a reward."""


@register(Posterior, "student_t")
class StudentTPosterior(NormalPosterior):
    r"""Normal approximation to the posterior of w given w ~ N(0, σ₀²I) and r = φᵀw + σε with Student-t noise ε.

    ε is normal with a precision τ ~ Gamma(ν/2, ν/2) of its own for each reward, so a reward far from what was expected
    counts for little. Variational Bayes over w and τ, one reward after another:

    V ← ρV + τφφᵀ/σ²,  b ← ρb + τφr/σ²,  ŵ = V⁻¹b,  τ = (ν + 1)/(ν + ((r − φᵀŵ)² + φᵀV⁻¹φ)/σ²)

    V and ŵ on the right of the last equation are those after the reward: it is a fixed point, iterated from τ = 1.
    Labels that :meth:`condition_on` learns get their τ together. For ν → ∞ this is the ``bayesian`` posterior. The
    gain that a reward brings depends on the reward; :meth:`information_gain` is that of the expected one.

    The belief is that of :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior`.

    Args:
        degrees_of_freedom: ν > 0; the smaller, the heavier the tails.
        noise_std: σ > 0, the scale of the noise; its standard deviation is σ√(ν/(ν − 2)) where ν > 2.
        prior_std: σ₀ > 0, that of each weight before any reward.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``degrees_of_freedom``, ``noise_std`` or ``prior_std`` is not positive, or ``discount`` not in
            (0, 1].

    Reference:
        Tipping and Lawrence, Variational Inference for Student-t Models, 2005; one reward after another: Broderick et
        al., Streaming Variational Bayes, 2013.

    Example:
        ``posterior: {type: student_t, degrees_of_freedom: 4.0}``
    """

    def __init__(
        self,
        degrees_of_freedom: PositiveFloat = 4.0,
        noise_std: PositiveFloat = 0.1,
        prior_std: PositiveFloat = 1.0,
        discount: Discount = 1.0,
    ) -> None:
        super().__init__(prior_std**-2, noise_std, discount)
        self.degrees_of_freedom = degrees_of_freedom
        self.prior_std = prior_std

    def update_batch(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n) bool
    ) -> TensorDict:  # batch (B,)
        if reward.shape[-1] > 1:
            # The weight of a reward depends on those before it.
            return Posterior.update_batch(self, belief, features, reward, observed)
        return super().update_batch(belief, features, reward, observed)

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor | None,  # (B, n) bool
        discount: float,
    ) -> TensorDict:  # batch (B,)
        if features.shape[1] == 1:
            residual = reward - self.predictive_mean(belief, features)
            root = self._scale(residual, self.std(belief, features), discount).sqrt()
            return super().learn(belief, root.unsqueeze(-1) * features, root * reward, observed, discount)
        root = torch.ones_like(reward)
        for _ in range(ITERATIONS):
            updated = super().learn(belief, root.unsqueeze(-1) * features, root * reward, observed, discount)
            residual = reward - self.predictive_mean(updated, features)
            squared = (residual.square() + self.std(updated, features).square()) / self.noise_std**2
            root = ((self.degrees_of_freedom + 1.0) / (self.degrees_of_freedom + squared)).sqrt()
        return updated

    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Information gain log(1 + τφᵀV⁻¹φ/σ²), with the τ of a reward at its predictive mean."""
        width = self.std(belief, features)
        return (self._scale(torch.zeros_like(width), width) * (width / self.noise_std).square()).log1p()

    def joint_information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        observed: Tensor,  # (B, n) bool
    ) -> Tensor:  # (B,)
        return Posterior.joint_information_gain(self, belief, features, observed)

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive scale √(width² + σ²) of a reward, which is less than its standard deviation."""
        return (self.std(belief, features).square() + self.noise_std**2).sqrt()

    def _scale(self, residual: Tensor, width: Tensor, discount: float = 1.0) -> Tensor:
        """τ of single rewards, from what was expected of them before; any shape.

        With s = φᵀV⁻¹φ/ρ before, the reward leaves s/(1 + τs/σ²) of it, and as large a share of the residual.
        """
        variance, squared = width.square() / (discount * self.noise_std**2), (residual / self.noise_std).square()
        weight, above, below = torch.ones_like(residual), self.degrees_of_freedom + 1.0, self.degrees_of_freedom
        for _ in range(ITERATIONS):
            share = (1.0 + weight * variance).reciprocal()
            weight = above / (below + share * (share * squared + variance))
        return weight
