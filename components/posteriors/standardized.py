"""Posterior of standardized rewards, with an intercept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import one_per_row

MOMENTS = ("count", "total", "squares")


@register(Posterior, "standardized")
class StandardizedPosterior(Posterior):
    r"""Linear posterior of standardized rewards, with an intercept learnt beside the weights.

    (r − m)/s ≈ c + φᵀw,  (ĉ, ŵ) = (μ_r − m μ_1)/s

    m and s are the mean and standard deviation of all rewards so far; μ_r and μ_1 are the means that the posterior
    inside has over the features (1, φ), for the rewards and for a reward of 1. So every reward so far counts as shifted
    and scaled by what is known now, and a·r + b with a > 0 leads to the same weights and widths as r, and an agent to
    the same choices, to rounding. The prior of the posterior inside, and a confidence radius, are then in units of the
    standard deviation of rewards. Rewards themselves are recorded, so that a replay is exact. An offset of the reward
    is of no consequence to the best policy where episodes end only by time.

    The belief holds two of the posterior inside, ``rewards`` and ``ones``; the first reward ``anchor``, which all are
    taken relative to; and ``count``, ``total`` and ``squares`` of these, all (B,).

    Args:
        posterior: whose mean is linear in the rewards and whose widths do not depend on them: ``ridge``, ``bayesian``
            or ``sliding_window``; its prior is that of the intercept too.

    Raises:
        ValueError: for any other posterior.

    Example:
        ``posterior: {type: standardized, posterior: {type: ridge}}``
    """

    is_standardized = True

    def __init__(self, posterior: Posterior) -> None:
        super().__init__()
        if not posterior.is_linear_in_rewards:
            raise ValueError(
                f"only a posterior that is linear in the rewards can be standardized (ridge, bayesian, "
                f"sliding_window), not {type(posterior).__name__}"
            )
        self.posterior = posterior

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        return self.prior_for([0] * batch_size, dim, device)

    def prior_for(self, seeds: Sequence[int], dim: int, device: torch.device | str = "cpu") -> TensorDict:
        inside = self.posterior.prior_for(seeds, dim + 1, device)
        zeros = torch.zeros(len(seeds), dtype=torch.float64, device=device)
        numbers = {name: zeros.clone() for name in ("anchor", *MOMENTS)}
        return TensorDict({"rewards": inside, "ones": inside.clone(), **numbers}, [len(seeds)])

    def update(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        observed: Tensor,  # (B,) bool
    ) -> TensorDict:  # batch (B,)
        rows = len(belief)
        reward, observed = one_per_row(reward, rows, "reward"), one_per_row(observed, rows, "observed")
        relative, updated = self._with_moments(belief, reward.unsqueeze(-1), observed.unsqueeze(-1))
        relative = relative.squeeze(-1)
        features = _beside(1.0, features)
        updated["rewards"] = self.posterior.update(belief["rewards"], features, relative, observed)
        updated["ones"] = self.posterior.update(belief["ones"], features, torch.ones_like(relative), observed)
        return updated

    def update_batch(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n) bool
    ) -> TensorDict:  # batch (B,)
        if features.ndim != 3 or features.shape[1] == 0 or not features.shape[:2] == reward.shape == observed.shape:
            return super().update_batch(belief, features, reward, observed)
        relative, updated = self._with_moments(belief, reward, observed)
        features = _beside(1.0, features)
        updated["rewards"] = self.posterior.update_batch(belief["rewards"], features, relative, observed)
        updated["ones"] = self.posterior.update_batch(belief["ones"], features, torch.ones_like(relative), observed)
        return updated

    def condition_on(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
    ) -> TensorDict:  # batch (B,)
        features = _beside(1.0, features)
        inside = self.posterior.condition_on(belief["ones"], features, torch.ones_like(reward))
        relative, updated = self._with_moments(belief, reward, torch.ones_like(reward, dtype=torch.bool))
        updated["rewards"] = self.posterior.condition_on(belief["rewards"], features, relative)
        updated["ones"] = inside
        return updated

    def label(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        weight: float = 1.0,
    ) -> TensorDict:  # batch (B,)
        everyone = torch.ones(len(belief), 1, dtype=torch.bool, device=reward.device)
        relative, updated = self._with_moments(belief, reward.reshape(-1, 1), everyone, weight)
        relative = relative.squeeze(-1)
        features = _beside(1.0, features)
        updated["rewards"] = self.posterior.label(belief["rewards"], features, relative, weight)
        updated["ones"] = self.posterior.label(belief["ones"], features, torch.ones_like(relative), weight)
        return updated

    def mean(self, belief: TensorDictBase) -> Tensor:  # (B, d)
        return self._joint_mean(belief)[:, 1:]

    def from_base_samples(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d)
    ) -> Tensor:  # as noise
        # The intercept comes first, so that the rest of a triangular root is the root of the rest.
        inside, centre = belief["ones"], self._joint_mean(belief)
        shift = (centre - self.posterior.mean(inside))[:, 1:]
        samples = self.posterior.from_base_samples(inside, _beside(0.0, noise.double()))[..., 1:]
        return samples + (shift if noise.ndim == 2 else shift.unsqueeze(1))

    def std(self, belief: TensorDictBase, x: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return self.posterior.std(belief["ones"], _beside(0.0, x))

    def reward_units(self, belief: TensorDictBase) -> tuple[Tensor, Tensor]:  # (B,), (B,)
        mean, scale = self._scale(belief)
        return belief["anchor"] + mean + scale * self._joint_mean(belief)[:, 0], scale

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive standard deviation of a reward, in the unit of rewards."""
        _, scale = self._scale(belief)
        return scale.reshape(-1, *[1] * (features.ndim - 2)) * self.posterior.predictive_std(
            belief["ones"], _beside(1.0, features)
        )

    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        return self.posterior.information_gain(belief["ones"], _beside(1.0, features))

    def joint_information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        observed: Tensor,  # (B, n) bool
    ) -> Tensor:  # (B,)
        return self.posterior.joint_information_gain(belief["ones"], _beside(1.0, features), observed)

    def log_determinant(self, belief: TensorDictBase) -> Tensor:  # (B,)
        return self.posterior.log_determinant(belief["ones"])

    def _joint_mean(self, belief: TensorDictBase) -> Tensor:  # (B, 1 + d)
        """ĉ and ŵ."""
        mean, scale = self._scale(belief)
        rewards, ones = self.posterior.mean(belief["rewards"]), self.posterior.mean(belief["ones"])
        return (rewards - mean.unsqueeze(-1) * ones) / scale.unsqueeze(-1)

    def _scale(self, belief: TensorDictBase) -> tuple[Tensor, Tensor]:  # (B,), (B,)
        """m, relative to the anchor, and s; 1 where all rewards were the same."""
        count = belief["count"].clamp(min=torch.finfo(torch.float64).tiny)
        mean = belief["total"] / count
        # Below rounding, all rewards were the same.
        variance = belief["squares"] / count - mean.square()
        scale = torch.where(variance > 1e-12 * belief["squares"] / count, variance, 1.0).sqrt()
        return mean, scale

    def _with_moments(
        self,
        belief: TensorDictBase,
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n)
        weight: float = 1.0,
    ) -> tuple[Tensor, TensorDict]:  # (B, n) relative to the anchor, zero where not observed
        observed = observed.to(belief["count"].device)
        reward = torch.where(observed, reward.double(), 0.0)
        first = reward.gather(1, observed.int().argmax(1, keepdim=True)).squeeze(1)
        anchor = torch.where((belief["count"] == 0) & observed.any(1), first, belief["anchor"])
        relative = torch.where(observed, reward - anchor.unsqueeze(-1), 0.0)
        updated = TensorDict({"anchor": anchor}, belief.batch_size)
        for name, values in zip(MOMENTS, (observed.double(), relative, relative.square()), strict=True):
            # One after another, so that it does not matter how many come together.
            updated[name] = torch.cat([belief[name].unsqueeze(-1), weight * values], 1).cumsum(1)[:, -1]
        return relative, updated


def _beside(first: float, features: Tensor) -> Tensor:  # (*b, d) -> (*b, 1 + d)
    """The same with a first entry for the intercept."""
    return torch.nn.functional.pad(features, (1, 0), value=first)
