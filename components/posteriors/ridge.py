"""Ridge regression on the rewards seen so far."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior, cholesky, faded, normal_belief
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat
from bfmkit.utils.linalg import add_products


@register(Posterior, "ridge")
class RidgePosterior(NormalPosterior):
    r"""Ridge regression on the rewards so far, with exponential forgetting.

    V₀ = λI, b₀ = 0;  V ← ρV + φφᵀ,  b ← ρb + φr;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    With ρ < 1 the prior λI is forgotten like everything else: directions that nothing excites any more grow wide
    almost without bound (the precision is kept above 1e-30 λ). Where the prior is to be kept instead,

    V ← ρV + φφᵀ + (1 − ρ)λI,  U ← ρ²U + φφᵀ + (1 − ρ²)λI = LLᵀ,  width(x) = √(xᵀV⁻¹UV⁻¹x),
    sample(ε) = ŵ + V⁻¹Lε

    with U₀ = λI: V weighs old rewards by ρ, and U has the covariance of the noise and of the prior in what V adds up.
    No direction then gets wider than 1/√λ. Runs whose reward is not observed forget too.

    The belief holds what :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior` says; where the prior is kept,
    also ``squared_precision`` U, ``squared_precision_lost`` and ``spread`` LᵀV⁻¹, all (B, d, d).

    Args:
        regularization: λ > 0, the weight of the prior w = 0.
        discount: ρ in (0, 1], what is left of old rewards a step later.
        forgets_prior: whether the prior is discounted as well; without effect for ρ = 1.

    Raises:
        ValueError: if ``regularization`` is not positive, or ``discount`` not in (0, 1].

    Example:
        ``posterior: {type: ridge, regularization: 1.0, discount: 0.999}``

    Reference:
        Abbasi-Yadkori et al., Improved Algorithms for Linear Stochastic Bandits, 2011, section 3; the prior kept:
        Russac et al., Weighted Linear Bandits for Non-Stationary Environments, 2019, Algorithm 1.
    """

    is_least_squares = True

    def __init__(
        self, regularization: PositiveFloat = 1.0, discount: Discount = 1.0, forgets_prior: bool = True
    ) -> None:
        super().__init__(regularization, discount=discount)
        self.regularization = regularization
        self.forgets_prior = forgets_prior
        self._keeps_prior = discount < 1.0 and not forgets_prior
        self.is_linear_in_rewards = not self._keeps_prior

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        belief = super().prior(batch_size, dim, device)
        if self._keeps_prior:
            belief["squared_precision"] = belief["precision"].clone()
            belief["squared_precision_lost"] = belief["precision_lost"].clone()
            belief["spread"] = belief["factor_inverse"].clone()
        return belief

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor | None,  # (B, n) bool
        discount: float,
    ) -> TensorDict:  # batch (B,)
        if not self._keeps_prior:
            return super().learn(belief, features, reward, observed, discount)
        share = discount ** reward.shape[1]
        # What forgetting takes from the prior comes back as d rewards of zero, one along each axis.
        once, labels = faded(features, reward, discount)
        rows = torch.cat([once, self._axes(features, 1.0 - share)], 1)
        labels = torch.nn.functional.pad(labels, (0, rows.shape[1] - labels.shape[1]))
        updated = normal_belief(self.sums(belief, rows, labels, share))
        twice, _ = faded(features, reward, discount**2)
        rows = torch.cat([twice, self._axes(features, 1.0 - share**2)], 1)
        squared, lost = add_products(
            belief["squared_precision"], belief["squared_precision_lost"], rows, rows, share**2
        )
        squared, lost = 0.5 * (squared + squared.mT), 0.5 * (lost + lost.mT)
        inverse = updated["factor_inverse"].mT @ updated["factor_inverse"]
        updated["squared_precision"], updated["squared_precision_lost"] = squared, lost
        updated["spread"] = cholesky(squared).mT @ inverse
        return updated

    def root(self, belief: TensorDictBase) -> Tensor:  # (B, d, d)
        return belief["spread"] if self._keeps_prior else belief["factor_inverse"]

    def _axes(self, features: Tensor, share: float) -> Tensor:  # (B, n, d) -> (B, d, d)
        """√(share·λ)·I for each run."""
        axes = torch.eye(features.shape[-1], dtype=features.dtype, device=features.device)
        return ((share * self.regularization) ** 0.5 * axes).expand(len(features), -1, -1)
