"""Ridge regression that forgets old rewards and keeps its prior."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior, cholesky, faded, normal_belief
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat
from bfmkit.utils.linalg import add_products


@register(Posterior, "weighted_ridge")
class WeightedRidgePosterior(NormalPosterior):
    r"""Ridge regression with exponential forgetting of the rewards, but not of the prior.

    V₀ = U₀ = λI, b₀ = 0;  V ← ρV + φφᵀ + (1 − ρ)λI,  b ← ρb + φr,  U ← ρ²U + φφᵀ + (1 − ρ²)λI = LLᵀ,  ŵ = V⁻¹b,
    width(x) = √(xᵀV⁻¹UV⁻¹x),  sample(ε) = ŵ + V⁻¹Lε

    V weighs old rewards by ρ, and U has the covariance of the noise and of the prior in what V adds up. No direction
    gets wider than 1/√λ. Runs whose reward is not observed forget too. For ρ = 1 this is the ``ridge`` posterior.

    The belief holds what :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior` says, and ``squared_precision``
    U, ``squared_precision_lost`` and ``spread`` LᵀV⁻¹, all (B, d, d).

    Args:
        regularization: λ > 0, the weight of the prior w = 0.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``regularization`` is not positive, or ``discount`` not in (0, 1].

    Reference:
        Russac et al., Weighted Linear Bandits for Non-Stationary Environments, 2019, Algorithm 1.

    Example:
        ``agent.posterior={type: weighted_ridge, discount: 0.999}``
    """

    def __init__(self, regularization: PositiveFloat = 1.0, discount: Discount = 0.999) -> None:
        super().__init__(regularization, discount=discount)
        self.regularization = regularization

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        belief = super().prior(batch_size, dim, device)
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
        return belief["spread"]

    def _axes(self, features: Tensor, share: float) -> Tensor:  # (B, n, d) -> (B, d, d)
        """√(share·λ)·I for each run."""
        axes = torch.eye(features.shape[-1], dtype=features.dtype, device=features.device)
        return ((share * self.regularization) ** 0.5 * axes).expand(len(features), -1, -1)
