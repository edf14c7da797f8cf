"""Bayesian linear regression with unknown noise variance."""

from __future__ import annotations

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat


@register(Posterior, "normal_inverse_gamma")
class NormalInverseGammaPosterior(NormalPosterior):
    r"""Posterior of w and σ², given w ~ N(0, σ²I/λ), σ² ~ InverseGamma(α₀, β₀) and r = φᵀw + σε.

    V₀ = λI, b₀ = 0;  V ← ρV + φφᵀ,  b ← ρb + φr;  V = RᵀR,  ŵ = V⁻¹b
    α ← α + ½,  β ← β + ½(r − φᵀŵ)² + ½(ŵ − ŵ')ᵀρV'(ŵ − ŵ'), a dash marking what was before
    width(x) = √(β/α · xᵀV⁻¹x),  sample(ε) = ŵ + √(β/α) R⁻¹ε

    Then xᵀw has a Student-t distribution with 2α degrees of freedom, location xᵀŵ and scale width(x), and w a
    multivariate one, which :meth:`sample` draws from; the standard deviation is √(α/(α − 1)) times the width where
    α > 1. Rewards c times as large make mean, width, samples and draws c times as large, but for the prior's β₀, which
    is therefore tiny unless something is known about the size of the noise.

    Forgetting multiplies α and β by ρ too, but α never falls below α₀: less is never known about the noise than before
    any reward, and its believed size β/α stays. Runs whose reward is not observed forget too.

    The belief holds, beside that of :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior`, ``shape`` α and
    ``rate`` β, both (B,).

    Args:
        regularization: λ > 0, the precision of the prior in units of that of a reward.
        shape: α₀ > 0, half as many rewards as the prior of σ² is worth.
        rate: β₀ > 0; β₀/α₀ is the prior's guess of σ².
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``regularization``, ``shape`` or ``rate`` is not positive, or ``discount`` not in (0, 1].

    Example:
        ``posterior: {type: normal_inverse_gamma, shape: 1.0}``

    Reference:
        Murphy, Machine Learning: A Probabilistic Perspective, 2012, section 7.6.3.
    """

    def __init__(
        self,
        regularization: PositiveFloat = 1.0,
        shape: PositiveFloat = 1.0,
        rate: PositiveFloat = 1e-30,
        discount: Discount = 1.0,
    ) -> None:
        super().__init__(regularization, discount=discount)
        self.regularization, self.shape, self.rate = regularization, shape, rate

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        belief = super().prior(batch_size, dim, device)
        belief["shape"] = torch.full_like(belief["mean"][:, 0], self.shape)
        belief["rate"] = torch.full_like(belief["mean"][:, 0], self.rate)
        return belief

    def update_batch(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n) bool
    ) -> TensorDict:  # batch (B,)
        if self.discount < 1.0 and reward.shape[-1] > 1:
            # How much of α and β a step forgets depends on α, which never falls below α₀.
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
        updated = super().learn(belief, features, reward, observed, discount)
        residual = reward - (features @ updated["mean"].unsqueeze(-1)).squeeze(-1)
        change = (updated["mean"] - belief["mean"]).unsqueeze(-1)
        moved = discount * (change.mT @ belief["precision"] @ change).flatten()
        shape, rate = belief["shape"], belief["rate"]
        if discount < 1.0:
            kept = (discount * shape).clamp(min=self.shape)
            shape, rate = kept, rate * (kept / shape)
        labels = float(reward.shape[1]) if observed is None else observed.double().sum(-1)
        updated["shape"] = shape + 0.5 * labels
        updated["rate"] = rate + 0.5 * (residual.square().sum(-1) + moved)
        return updated

    def root(self, belief: TensorDictBase) -> Tensor:  # (B, d, d)
        return (belief["rate"] / belief["shape"]).sqrt().reshape(-1, 1, 1) * belief["factor_inverse"]

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive scale √(width² + β/α)."""
        noise = (belief["rate"] / belief["shape"]).reshape(-1, *[1] * (features.ndim - 2))
        return (self.std(belief, features).square() + noise).sqrt()

    def sample(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d)
    ) -> Tensor:  # as noise
        """Samples of the multivariate Student-t: the noise keeps its direction, and its length is mapped by quantiles.

        A normal vector's squared length is χ² with d degrees of freedom and independent of its direction; that of a
        Student-t vector is 2α y/(1 − y), with y ~ Beta(d/2, α).
        """
        rows = noise.double().reshape(len(noise), -1, noise.shape[-1])
        length = torch.linalg.vector_norm(rows, dim=-1)
        wanted = _student_length(length.cpu().numpy(), belief["shape"].cpu().numpy(), rows.shape[-1])
        stretch = torch.from_numpy(wanted).to(length.device) / length.clamp(min=torch.finfo(length.dtype).tiny)
        return self.from_base_samples(belief, (stretch.unsqueeze(-1) * rows).reshape(noise.shape))


def _student_length(
    length: np.ndarray,  # (B, k), of standard normal vectors in d dimensions
    shape: np.ndarray,  # (B,), half the degrees of freedom
    dim: int,
) -> np.ndarray:  # (B, k)
    """The length that a Student-t vector exceeds as often as a normal one exceeds ``length``."""
    # Imported here: scipy takes longer to load than everything else in this file, and only draws need it.
    from scipy.special import betainccinv, betaincinv, gammainc, gammaincc

    half, shape = 0.5 * dim, shape[:, None]
    squared = 0.5 * length**2
    below, above = gammainc(half, squared), gammaincc(half, squared)
    # From the nearer tail, where a probability has all its digits.
    share = np.where(below < above, betaincinv(half, shape, below), betainccinv(half, shape, above))
    rest = np.where(below < above, betainccinv(shape, half, below), betaincinv(shape, half, above))
    return np.sqrt(2.0 * shape * share / rest)
