"""Ensemble of regressions on rewards with added noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.linalg import add_products
from bfmkit.utils.rng import normal_noise


@register(Posterior, "ensemble")
class EnsemblePosterior(NormalPosterior):
    r"""Ensemble of M regressions, each with a draw from the prior and noise in its rewards; their spread is the width.

    V = I/σ₀² + Σ φφᵀ/σ²,  ŵ = V⁻¹ Σ φr/σ²,  u_m = V⁻¹(ζ_m/σ₀ + Σ φξ_m/σ),  w_m = ŵ + u_m
    width(x) = √(mean over m of (xᵀu_m)²),  sample(ε) = ŵ + Sε with S Sᵀ = mean over m of u_m u_mᵀ

    ζ_m and ξ_m are standard normal, ξ_m anew for every label, so that member m regresses r + σξ_m from the prior draw
    σ₀ζ_m; each alone is a draw from the ``bayesian`` posterior, but all M keep the noise they have had. The centre is
    the regression without noise. :meth:`sample` picks a member. With fewer members than features, samples vary in an
    M-dimensional subspace only. Nothing is ever forgotten.

    The belief holds, beside what :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior` says, ``perturbation``
    ζ_m/σ₀ + Σ φξ_m/σ (B, M, d), ``perturbation_lost``, ``deviations`` u_m (B, M, d), ``spread`` Sᵀ (B, d, d), and
    for the noise ``seed`` and ``labels``, both (B,): the noise in a run's nth label is a function of its seed and n.

    Args:
        members: M, how many.
        noise_std: σ > 0, the standard deviation of a reward around φᵀw, and of the noise added to it.
        prior_std: σ₀ > 0, that of each weight before any reward.

    Raises:
        ValueError: if ``members`` is less than 1, or ``noise_std`` or ``prior_std`` not positive.

    Example:
        ``posterior: {type: ensemble, members: 32}``

    Reference:
        Lu and Van Roy, Ensemble Sampling, 2017.
    """

    def __init__(
        self, members: PositiveInt = 32, noise_std: PositiveFloat = 0.01, prior_std: PositiveFloat = 1.0
    ) -> None:
        super().__init__(prior_std**-2, noise_std)
        self.members = members
        self.prior_std = prior_std

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        return self.prior_for([0] * batch_size, dim, device)

    def prior_for(self, seeds: Sequence[int], dim: int, device: torch.device | str = "cpu") -> TensorDict:
        if any(abs(int(seed)) >= 2**53 for seed in seeds):
            raise ValueError(f"seeds must be below 2**53 in size, got {list(seeds)}")
        belief = super().prior(len(seeds), dim, device)
        drawn = normal_noise(seeds, "ensemble prior", [0] * len(seeds), (self.members, dim)).to(device)
        belief["seed"] = torch.tensor([int(seed) for seed in seeds], dtype=torch.float64, device=device)
        belief["labels"] = torch.zeros_like(belief["seed"])
        return self._with_members(belief, drawn / self.prior_std, torch.zeros_like(drawn))

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor | None,  # (B, n) bool
        discount: float,
    ) -> TensorDict:  # batch (B,)
        updated = super().learn(belief, features, reward, observed, discount)
        taken = torch.ones_like(reward) if observed is None else observed.double()
        noise = self._label_noise(belief, taken).to(features.device)
        updated["seed"] = belief["seed"].clone()
        updated["labels"] = belief["labels"] + taken.sum(-1)
        perturbation = add_products(
            belief["perturbation"], belief["perturbation_lost"], noise, features / self.noise_std
        )
        return self._with_members(updated, *perturbation)

    def root(self, belief: TensorDictBase) -> Tensor:  # (B, d, d)
        return belief["spread"]

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive standard deviation √(width² + σ²)."""
        return (self.std(belief, features).square() + self.noise_std**2).sqrt()

    def sample(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d)
    ) -> Tensor:  # as noise
        """Weights of a random member, uniformly; the first entry of the noise says which."""
        first = noise.double()[..., 0].reshape(len(noise), -1)
        member = (self.members * torch.special.ndtr(first)).long().clamp(max=self.members - 1)
        rows = member.unsqueeze(-1).expand(-1, -1, noise.shape[-1])
        return (belief["mean"].unsqueeze(1) + belief["deviations"].gather(1, rows)).reshape(noise.shape)

    def _label_noise(self, belief: TensorDictBase, taken: Tensor) -> Tensor:  # (B, n) -> (B, n, M)
        """ξ of the next labels; where there is none, that of the one that comes next."""
        numbers = (belief["labels"].unsqueeze(-1) + taken.cumsum(-1) - taken).long()
        seeds = belief["seed"].long().unsqueeze(-1).expand_as(numbers)
        drawn = normal_noise(seeds.flatten().tolist(), "ensemble reward", numbers.flatten().tolist(), (self.members,))
        return drawn.reshape(*numbers.shape, self.members)

    def _with_members(self, belief: TensorDict, perturbation: Tensor, lost: Tensor) -> TensorDict:
        """The belief with its members, from (B, M, d) perturbations."""
        inverse = belief["factor_inverse"]
        deviations = perturbation @ inverse.mT @ inverse
        spread = torch.linalg.qr(deviations / self.members**0.5, mode="r").R
        missing = deviations.shape[-1] - spread.shape[-2]
        belief["perturbation"], belief["perturbation_lost"] = perturbation, lost
        belief["deviations"] = deviations
        belief["spread"] = torch.nn.functional.pad(spread, (0, 0, 0, missing))
        return belief
