"""Ridge regression on the rewards seen so far."""

from __future__ import annotations

import warnings

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior
from bfmkit.registry import register


@register(Posterior, "ridge")
class RidgePosterior(Posterior):
    r"""Regularised least squares on the rewards seen so far, with exponential forgetting.

    V₀ = λI, b₀ = 0;  V ← ρV + φφᵀ,  b ← ρb + φr;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    With ρ < 1 the prior λI is forgotten like everything else: directions that nothing excites any more grow wide
    without bound. Runs whose reward is not observed forget too. What follows from V is worked out once an update and
    kept in the belief, so that the other methods only multiply.

    The belief holds ``precision`` V (B, d, d), ``response`` b (B, d), ``factor_inverse`` R⁻ᵀ (B, d, d), ``mean`` ŵ
    (B, d) and ``log_determinant`` of V (B,).

    Args:
        regularization: λ > 0, the weight of the prior w = 0.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``regularization`` is not positive, or ``discount`` not in (0, 1].

    Reference:
        Abbasi-Yadkori et al., Improved Algorithms for Linear Stochastic Bandits, 2011, section 3.
    """

    def __init__(self, regularization: float = 1.0, discount: float = 1.0) -> None:
        super().__init__()
        if not 0.0 < regularization < float("inf"):
            raise ValueError(f"regularization must be positive and finite, got {regularization}")
        if not 0.0 < discount <= 1.0:
            raise ValueError(f"discount must lie in (0, 1], got {discount}")
        self.regularization = regularization
        self.discount = discount

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        precision = self.regularization * torch.eye(dim, dtype=torch.float64, device=device)
        response = torch.zeros(batch_size, dim, dtype=torch.float64, device=device)
        return _belief(precision.repeat(batch_size, 1, 1), response)

    def update(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        observed: Tensor,  # (B,) bool
    ) -> TensorDict:  # batch (B,)
        precision, response = belief["precision"], belief["response"]
        if features.shape != response.shape or reward.shape != response.shape[:1] or observed.shape != reward.shape:
            raise ValueError(
                f"a belief about {tuple(response.shape)} weights takes as many features and a reward and a flag a run, "
                f"got {tuple(features.shape)}, {tuple(reward.shape)} and {tuple(observed.shape)}"
            )
        # Selected, not multiplied by the mask: what was not observed may be NaN.
        features = torch.where(observed.unsqueeze(-1), features.double(), 0.0)
        reward = torch.where(observed, reward.double(), 0.0)
        return _belief(
            torch.baddbmm(precision, features.unsqueeze(-1), features.unsqueeze(-2), beta=self.discount),
            self.discount * response + features * reward.unsqueeze(-1),
        )

    def condition(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
    ) -> TensorDict:  # batch (B,)
        precision, response = belief["precision"], belief["response"]
        runs, dim = response.shape
        if features.ndim != 3 or (features.shape[0], features.shape[2]) != (runs, dim):
            raise ValueError(f"features must be ({runs}, n, {dim}), got {tuple(features.shape)}")
        if reward.shape != features.shape[:2]:
            raise ValueError(f"rewards must be {tuple(features.shape[:2])}, got {tuple(reward.shape)}")
        features = features.double()
        correlation = (features.mT @ reward.double().unsqueeze(-1)).squeeze(-1)
        return _belief(precision + features.mT @ features, response + correlation)

    def mean(self, belief: TensorDictBase) -> Tensor:  # (B, d)
        return belief["mean"]

    def sample(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d)
    ) -> Tensor:  # as noise
        mean, factor_inverse = belief["mean"], belief["factor_inverse"]
        rows = noise.double() if noise.ndim == 3 else noise.double().unsqueeze(-2)
        # Rows times R⁻ᵀ are columns times R⁻¹.
        return (mean.unsqueeze(-2) + rows @ factor_inverse).reshape(noise.shape)

    def width(
        self,
        belief: TensorDictBase,  # batch (B,)
        x: Tensor,  # (B, *k, d)
    ) -> Tensor:  # (B, *k)
        factor_inverse = belief["factor_inverse"]
        rows = x.double().reshape(x.shape[0], -1, x.shape[-1])
        return torch.linalg.vector_norm(rows @ factor_inverse.mT, dim=-1).reshape(x.shape[:-1])

    def information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, *k, d)
    ) -> Tensor:  # (B, *k)
        return self.width(belief, features).square().log1p()


def _belief(precision: Tensor, response: Tensor) -> TensorDict:  # (B, d, d), (B, d) -> batch (B,)
    """The belief with all that follows from precision and response."""
    lower = _cholesky(precision)
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    factor_inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
    mean = (factor_inverse.mT @ (factor_inverse @ response.unsqueeze(-1))).squeeze(-1)
    return TensorDict(
        {
            "precision": precision,
            "response": response,
            "factor_inverse": factor_inverse,
            "mean": mean,
            "log_determinant": 2.0 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1),
        },
        batch_size=response.shape[:1],
    )


def _cholesky(precision: Tensor) -> Tensor:  # (B, d, d) -> lower factor (B, d, d)
    """The Cholesky factor, of a slightly larger matrix where rounding has made one indefinite."""
    factor, failed = torch.linalg.cholesky_ex(precision)
    jitter = 1e-14
    while failed.any():
        scale = jitter * precision.diagonal(dim1=-2, dim2=-1).mean(-1)
        if jitter > 1e-6 or not scale.isfinite().all():
            raise torch.linalg.LinAlgError("the precision is not positive definite, and no small jitter makes it so")
        warnings.warn(f"the precision has lost definiteness; adding {jitter:.0e} of its mean diagonal", stacklevel=2)
        amount = torch.where(failed > 0, scale, 0.0)
        factor, failed = torch.linalg.cholesky_ex(
            precision + torch.diag_embed(amount.unsqueeze(-1).expand_as(precision[..., 0]))
        )
        jitter *= 10.0
    return factor
