"""Posteriors over the weights w of the reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor


class Posterior(TensorDictModuleBase, ABC):
    """Base class of posteriors over the weights w of r ≈ φᵀw, for B independent runs at once.

    The object holds hyperparameters only. What has been learnt is the *belief*, a TensorDict of batch (B,), float64,
    that every method takes and none changes in place; so it checkpoints, resumes and moves between devices.

    As a TensorDict module it is its update: ``belief``, ``features``, ``("next", "reward")`` and ``observed`` in,
    ``belief`` out.
    """

    kind: ClassVar[str] = "posterior"
    folder: ClassVar[str] = "posteriors"

    is_linear_in_rewards: bool = False
    """Whether the mean is linear in the rewards, and the covariance independent of them, with a triangular root."""

    is_standardized: ClassVar[bool] = False
    """Whether the scale and offset of rewards make no difference to the mean and to widths."""

    in_keys = ["belief", "features", ("next", "reward"), "observed"]
    out_keys = ["belief"]

    compares: ClassVar[bool] = False
    """Whether a label is about two clips: which of them is the better, and not how good one is."""

    @abstractmethod
    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:  # batch (B,)
        """Prior belief of B runs."""

    def prior_for(
        self,
        seeds: Sequence[int],  # one per run, B of them
        dim: int,
        device: torch.device | str = "cpu",
    ) -> TensorDict:  # batch (B,)
        """Prior belief of runs with these seeds, which matter where a belief holds noise of its own."""
        return self.prior(len(seeds), dim, device)

    @abstractmethod
    def update(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,), or (B, 1) as TorchRL has it
        observed: Tensor,  # (B,) bool, or (B, 1)
    ) -> TensorDict:  # batch (B,); the argument is left as it was
        """Belief after one step: all runs forget, observed ones also learn.

        Where ``observed`` is false, features and reward may hold anything, NaN included.

        Raises:
            ValueError: if shapes do not fit the belief.
        """

    def update_batch(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d), oldest first
        reward: Tensor,  # (B, n)
        observed: Tensor,  # (B, n) bool
    ) -> TensorDict:  # batch (B,); the argument is left as it was
        """Belief after n steps: to rounding, that of n updates; override where one computation gives it.

        Raises:
            ValueError: if shapes do not fit the belief, or n = 0.
        """
        if features.ndim != 3 or features.shape[1] == 0 or not features.shape[:2] == reward.shape == observed.shape:
            raise ValueError(
                f"steps must be features (B, n, d) with a reward and a flag each, got {tuple(features.shape)}, "
                f"{tuple(reward.shape)} and {tuple(observed.shape)}"
            )
        for step in range(features.shape[1]):
            belief = self.update(belief, features[:, step], reward[:, step], observed[:, step])
        return belief

    @abstractmethod
    def condition_on(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
    ) -> TensorDict:  # batch (B,)
        """Belief after n labelled transitions at once, without forgetting: as n updates without discount."""

    def label(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        weight: float = 1.0,
    ) -> TensorDict:  # batch (B,)
        """Belief after a late reward: no step passes, so nothing is forgotten.

        A weight ω > 0 is the precision of the reward relative to one that is observed; here both sides of r = φᵀw are
        scaled by √ω, as weighted least squares does.
        """
        scale = weight**0.5
        return self.condition_on(belief, scale * features.double().unsqueeze(1), scale * reward.double().unsqueeze(1))

    @abstractmethod
    def mean(self, belief: TensorDictBase) -> Tensor:  # (B, d)
        """Posterior mean ŵ."""

    @abstractmethod
    def from_base_samples(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d), standard normal for draws from the posterior
    ) -> Tensor:  # as noise
        """Affine map of noise ŵ + S·noise, with S Sᵀ the posterior covariance: a ball becomes an ellipsoid."""

    def sample(
        self,
        belief: TensorDictBase,  # batch (B,)
        noise: Tensor,  # (B, d) or (B, k, d), standard normal
    ) -> Tensor:  # as noise
        """Posterior samples of w; :meth:`from_base_samples` of the noise where the posterior is normal."""
        return self.from_base_samples(belief, noise)

    @abstractmethod
    def std(self, belief: TensorDictBase, x: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Posterior standard deviation of xᵀw."""

    def predictive_mean(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive mean of the reward at ``features``: φᵀŵ, or a function of it where rewards are not linear in φ."""
        offset, scale = (each.reshape(-1, *[1] * (features.ndim - 2)) for each in self.reward_units(belief))
        return offset + scale * self._project(belief, features)

    def reward_units(self, belief: TensorDictBase) -> tuple[Tensor, Tensor]:  # (B,), (B,)
        """Offset and scale that map φᵀŵ to a reward: 0 and 1 unless rewards are standardized."""
        mean = self.mean(belief)
        return torch.zeros_like(mean[:, 0]), torch.ones_like(mean[:, 0])

    @abstractmethod
    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive standard deviation of the reward: :meth:`std`, and the noise if the posterior models it."""

    @abstractmethod
    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Increase of log det V by one reward at ``features``: twice the information gain, in nats.

        Where that depends on the reward, as with a likelihood that is not normal: how much the expected one would.
        """

    def joint_information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        observed: Tensor,  # (B, n) bool
    ) -> Tensor:  # (B,)
        """Increase of log det V by all observed rewards together, without forgetting between them.

        Here the sum of what each adds to those before it, if all rewards are as expected.
        """
        features = torch.where(observed.unsqueeze(-1), features.double(), 0.0)
        gain = torch.zeros_like(features[:, 0, 0])
        for step in range(features.shape[1]):
            one = features[:, step]
            gain = gain + torch.where(observed[:, step], self.information_gain(belief, one), 0.0)
            if step + 1 < features.shape[1]:
                expected = self.predictive_mean(belief, one)
                belief = self.condition_on(belief, one.unsqueeze(1), expected.unsqueeze(1))
        return gain

    def log_determinant(self, belief: TensorDictBase) -> Tensor:  # (B,)
        """Log determinant of the precision that :meth:`information_gain` refers to; here that of (S Sᵀ)⁻¹."""
        mean = self.mean(belief)
        axes = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device).expand(len(mean), -1, -1)
        root = self.from_base_samples(belief, axes) - mean.unsqueeze(1)
        return -2.0 * torch.linalg.slogdet(root).logabsdet

    def ucb(
        self,
        belief: TensorDictBase,  # batch (B,)
        x: Tensor,  # (B, *k, d)
        radius: float | Tensor,
    ) -> Tensor:  # (B, *k)
        """Upper confidence bound of xᵀw: xᵀŵ + radius · std(x)."""
        return self._project(belief, x) + radius * self.std(belief, x)

    def _project(self, belief: TensorDictBase, x: Tensor) -> Tensor:  # (B, *k, d) -> (B, *k)
        """xᵀŵ."""
        mean = self.mean(belief)
        points = x.to(mean.dtype).reshape(len(mean), -1, mean.shape[-1])
        return torch.bmm(points, mean.unsqueeze(-1)).reshape(x.shape[:-1])

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the updated ``belief`` into ``tensordict``."""
        belief, features, reward, observed = (tensordict.get(key) for key in self.in_keys)
        return tensordict.set("belief", self.update(belief, features, reward, observed))
