"""Base classes of posteriors with a precision matrix."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior
from bfmkit.utils.checks import one_per_row
from bfmkit.utils.linalg import add_products

SMALLEST_JITTER, LARGEST_JITTER = 1e-14, 1e-6
"""Shares of the mean diagonal that are added to a precision which rounding has made indefinite."""
SMALLEST_SHARE = 1e-30
"""Forgetting leaves each diagonal entry of the precision at least this share of the prior's."""


class NormalPosterior(Posterior):
    r"""Normal posterior N(ŵ, V⁻¹) of w, from rewards r = φᵀw + σε, with exponential forgetting.

    V₀ = λI, b₀ = 0;  V ← ρV + φφᵀ/σ²,  b ← ρb + φr/σ²;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    What follows from V is worked out once an update and kept in the belief, so that the other methods only multiply.
    The belief holds ``precision`` V (B, d, d), ``response`` b (B, d), ``factor_inverse`` R⁻ᵀ (B, d, d) and ``mean`` ŵ
    (B, d); ``precision_lost`` and ``response_lost`` are what rounding has kept out of V and b so far. Where V
    overflows, or nothing small makes it definite again, the mean of that run is NaN; the others go on.

    With ρ < 1 the prior is forgotten like everything else, down to 1e-30 of it.

    After 10⁵ updates ŵ has a relative error of about 1e-10 where cond(V) is 10⁶ and 1e-6 where it is 10¹⁰
    (``tests/benchmarks/posterior_accuracy.py``).

    Args:
        prior_precision: λ > 0.
        noise_std: σ > 0.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``discount`` is not in (0, 1]; a subclass checks the others, by the names it gives them.
    """

    is_least_squares: ClassVar[bool] = False
    """Whether ŵ and V are those of all rewards with noise of known size, as theorems on confidence sets ask."""

    def __init__(self, prior_precision: float, noise_std: float = 1.0, discount: float = 1.0) -> None:
        super().__init__()
        self.prior_precision, self.noise_std, self.discount = prior_precision, noise_std, discount

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d) float64, zero where not observed
        reward: Tensor,  # (B, n) float64, zero where not observed
        observed: Tensor | None,  # (B, n) bool; None: all
        discount: float,
    ) -> TensorDict:  # batch (B,)
        """Belief after n steps, with forgetting before each; extended by subclasses whose belief holds more.

        V ← ρⁿV + Σᵢ ρⁿ⁻¹⁻ⁱ φᵢφᵢᵀ/σ² and b likewise, i = 0 ... n − 1
        """
        share = discount ** features.shape[1]
        return normal_belief(self.sums(belief, *faded(features, reward, discount), share))

    def sums(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d) float64
        reward: Tensor,  # (B, n) float64
        discount: float = 1.0,
    ) -> dict[str, Tensor]:
        """Precision ρⁿV + Σ φφᵀ and response ρⁿb + Σ φr after n labelled transitions, with their rounding errors."""
        if self.noise_std != 1.0:
            features, reward = features / self.noise_std, reward / self.noise_std
        precision, lost = add_products(belief["precision"], belief["precision_lost"], features, features, discount)
        response, response_lost = add_products(
            belief["response"].unsqueeze(-1),
            belief["response_lost"].unsqueeze(-1),
            features,
            reward.unsqueeze(-1),
            discount,
        )
        if features.shape[1] > 1:
            # A matrix product need not sum (i, j) and (j, i) in the same order.
            precision, lost = 0.5 * (precision + precision.mT), 0.5 * (lost + lost.mT)
        if discount < 1.0:
            precision.diagonal(dim1=-2, dim2=-1).clamp_(min=SMALLEST_SHARE * self.prior_precision)
        return {
            "precision": precision,
            "precision_lost": lost,
            "response": response.squeeze(-1),
            "response_lost": response_lost.squeeze(-1),
        }

    def root(self, belief: TensorDictBase) -> Tensor:  # (B, d, d)
        """Transposed root Sᵀ of the posterior covariance S Sᵀ."""
        return belief["factor_inverse"]

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        zeros = torch.zeros(batch_size, dim, dtype=torch.float64, device=device)
        precision = torch.diag_embed(zeros + self.prior_precision)
        return normal_belief(
            {
                "precision": precision,
                "precision_lost": torch.zeros_like(precision),
                "response": zeros,
                "response_lost": zeros.clone(),
            }
        )

    def update(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        observed: Tensor,  # (B,) bool
    ) -> TensorDict:  # batch (B,)
        runs = len(belief)
        reward, observed = one_per_row(reward, runs, "reward"), one_per_row(observed, runs, "observed")
        return self.update_batch(belief, features.unsqueeze(1), reward.unsqueeze(1), observed.unsqueeze(1))

    def update_batch(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n) bool
    ) -> TensorDict:  # batch (B,)
        runs, dim = belief["mean"].shape
        steps = features.shape[1]
        if features.shape != (runs, steps, dim) or not reward.shape == observed.shape == (runs, steps) or steps == 0:
            raise ValueError(
                f"a belief of {runs} runs about {dim} weights takes as many features, a reward and a flag a run and "
                f"step, got {tuple(features.shape)}, {tuple(reward.shape)} and {tuple(observed.shape)}"
            )
        features, reward = features.double(), reward.double()
        if not all(observed.flatten().tolist()):  # takes a tenth of a look at a tensor
            # Selected, not multiplied by the mask: what was not observed may be NaN.
            features = torch.where(observed.unsqueeze(-1), features, 0.0)
            reward = torch.where(observed, reward, 0.0)
        return self.learn(belief, features, reward, observed, self.discount)

    def condition_on(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
    ) -> TensorDict:  # batch (B,)
        runs, dim = belief["mean"].shape
        if features.ndim != 3 or (features.shape[0], features.shape[2]) != (runs, dim):
            raise ValueError(f"features must be ({runs}, n, {dim}), got {tuple(features.shape)}")
        if reward.shape != features.shape[:2]:
            raise ValueError(f"rewards must be {tuple(features.shape[:2])}, got {tuple(reward.shape)}")
        return self.learn(belief, features.double(), reward.double(), None, 1.0)

    def mean(self, belief: TensorDictBase) -> Tensor:  # (B, d)
        return belief["mean"]

    def from_base_samples(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d)
    ) -> Tensor:  # as noise
        rows = noise.double() if noise.ndim == 3 else noise.double().unsqueeze(-2)
        # Rows times Sᵀ are columns times S.
        return torch.baddbmm(belief["mean"].unsqueeze(-2), rows, self.root(belief)).reshape(noise.shape)

    def std(self, belief: TensorDictBase, x: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return _norm(self.root(belief), x)

    def predictive_mean(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return _along(belief["mean"], features)

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return self.std(belief, features)

    def ucb(
        self,
        belief: TensorDictBase,  # batch (B,)
        x: Tensor,  # (B, *k, d)
        radius: float | Tensor,
    ) -> Tensor:  # (B, *k)
        x = x.double()
        return _along(belief["mean"], x) + radius * self.std(belief, x)

    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return (_norm(belief["factor_inverse"], features) / self.noise_std).square().log1p()

    def joint_information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        observed: Tensor,  # (B, n) bool
    ) -> Tensor:  # (B,)
        """Joint information gain log det(I + ΦV⁻¹Φᵀ/σ²) of the observed rows Φ."""
        features = torch.where(observed.unsqueeze(-1), features.double(), 0.0)
        if features.shape[1] == 1:
            return self.information_gain(belief, features[:, 0])
        rows = features @ (belief["factor_inverse"].mT / self.noise_std)
        gram = rows @ rows.mT
        gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return torch.linalg.slogdet(gram).logabsdet

    def log_determinant(self, belief: TensorDictBase) -> Tensor:  # (B,)
        return -2.0 * belief["factor_inverse"].diagonal(dim1=-2, dim2=-1).log().sum(-1)


def faded(
    features: Tensor,  # (B, n, d), oldest first
    reward: Tensor,  # (B, n)
    discount: float,
) -> tuple[Tensor, Tensor]:
    """Features and rewards, each scaled by the root of its discount at the last step."""
    count = reward.shape[1]
    if discount == 1.0 or count == 1:
        return features, reward
    ages = torch.arange(count - 1, -1, -1, dtype=features.dtype, device=features.device)
    weights = discount ** (0.5 * ages)
    return features * weights.unsqueeze(-1), reward * weights


def normal_belief(sums: dict[str, Tensor]) -> TensorDict:  # batch (B,)
    """Belief with what follows from its ``precision`` (B, d, d) and ``response`` (B, d): factor and mean."""
    precision, response = sums["precision"], sums["response"]
    lower = cholesky(precision)
    inverse = torch.linalg.solve_triangular(lower, _identity(precision.shape[-1], precision.device), upper=False)
    # Two products with what is there take half the time of two more solves, and the error is as small.
    mean = torch.bmm(torch.bmm(response.unsqueeze(-2), inverse.mT), inverse).squeeze(-2)
    return TensorDict(
        {**sums, "factor_inverse": inverse, "mean": mean},
        batch_size=response.shape[:1],
    )


def cholesky(precision: Tensor) -> Tensor:  # (B, d, d) -> lower factor (B, d, d)
    """Cholesky factor, of a slightly larger matrix where rounding has made one indefinite.

    Warns of both: of what it adds, and of runs that nothing small mends, whose factor is NaN.
    """
    factor, failed = torch.linalg.cholesky_ex(precision)
    if precision.is_cuda and torch.cuda.is_current_stream_capturing():
        # Nothing can be looked at while a CUDA graph is recorded, nor mended when it is replayed.
        return torch.where((failed > 0).reshape(-1, 1, 1), float("nan"), factor)
    if not any(failed.tolist()):
        return factor
    scale = precision.diagonal(dim1=-2, dim2=-1).mean(-1)
    added, jitter = torch.zeros_like(scale), SMALLEST_JITTER
    while ((failed > 0) & scale.isfinite()).any() and jitter < 2 * LARGEST_JITTER:
        warnings.warn(
            f"the precision matrix is not positive definite; adding {jitter:.0e} of its mean diagonal", stacklevel=2
        )
        added = torch.where(failed > 0, jitter * scale, added)
        factor, failed = torch.linalg.cholesky_ex(
            precision + torch.diag_embed(added.unsqueeze(-1).expand_as(precision[..., 0]))
        )
        jitter *= 10.0
    if failed.any():
        runs = failed.nonzero().squeeze(-1).tolist()
        warnings.warn(
            f"precision matrix is not positive definite in runs {runs}: their belief is NaN from here on", stacklevel=2
        )
        factor = torch.where((failed > 0).reshape(-1, 1, 1), float("nan"), factor)
    return factor


@lru_cache
def _identity(dim: int, device: torch.device) -> Tensor:  # (d, d) float64
    return torch.eye(dim, dtype=torch.float64, device=device)


def _along(mean: Tensor, x: Tensor) -> Tensor:  # (B, d), (B, *k, d) -> (B, *k)
    """xᵀŵ for each x."""
    rows = x.double().reshape(x.shape[0], -1, x.shape[-1])
    return torch.bmm(rows, mean.unsqueeze(-1)).reshape(x.shape[:-1])


def _norm(root: Tensor, x: Tensor) -> Tensor:  # (B, p, d), (B, *k, d) -> (B, *k)
    """‖root·x‖ for each x."""
    rows = x.double().reshape(x.shape[0], -1, x.shape[-1])
    return torch.linalg.vector_norm(torch.bmm(rows, root.mT), dim=-1).reshape(x.shape[:-1])
