"""Test posterior with a given mean and covariance."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior


class KnownPosterior(Posterior):
    """Posterior with a fixed mean and covariance S Sᵀ, which counts rewards without learning from them.

    Args:
        mean: (d,), or zero.
        root: S, (d, d), or the identity.
    """

    def __init__(self, mean: Tensor | None = None, root: Tensor | None = None) -> None:
        super().__init__()
        self._mean, self._root = mean, root

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        mean = torch.zeros(dim, dtype=torch.float64) if self._mean is None else self._mean.double()
        root = torch.eye(dim, dtype=torch.float64) if self._root is None else self._root.double()
        entries = {
            "mean": mean.repeat(batch_size, 1),
            "root": root.repeat(batch_size, 1, 1),
            "count": torch.zeros(batch_size, dtype=torch.float64),
        }
        return TensorDict(entries, [batch_size]).to(device)

    def update(self, belief: TensorDictBase, features: Tensor, reward: Tensor, observed: Tensor) -> TensorDict:
        if features.shape != belief["mean"].shape:
            raise ValueError(f"features must be {tuple(belief['mean'].shape)}, got {tuple(features.shape)}")
        return belief.copy().set("count", belief["count"] + observed)

    def condition_on(self, belief: TensorDictBase, features: Tensor, reward: Tensor) -> TensorDict:
        return belief.copy().set("count", belief["count"] + reward.shape[-1])

    def mean(self, belief: TensorDictBase) -> Tensor:
        return belief["mean"]

    def from_base_samples(self, belief: TensorDictBase, noise: Tensor) -> Tensor:
        rows = noise.double().reshape(len(noise), -1, noise.shape[-1])
        return (belief["mean"].unsqueeze(-2) + rows @ belief["root"].mT).reshape(noise.shape)

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # (B, *k, d) -> (B, *k)
        """As it is known, without noise."""
        return self.std(belief, features)

    def std(self, belief: TensorDictBase, x: Tensor) -> Tensor:
        rows = x.double().reshape(len(x), -1, x.shape[-1])
        return (rows @ belief["root"]).norm(dim=-1).reshape(x.shape[:-1])

    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:
        return self.std(belief, features).square().log1p()
