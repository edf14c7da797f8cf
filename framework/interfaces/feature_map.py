"""Feature maps: what a reward is linear in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor


class FeatureMap(TensorDictModuleBase, ABC):
    """φ: the reward of a transition is modelled as r ≈ φᵀw.

    As a TensorDict module it reads the transition and writes ``features``. Most maps look at the next observation
    alone and ignore the other two arguments.
    """

    kind: ClassVar[str] = "feature_map"
    folder: ClassVar[str] = "feature_maps"

    in_keys = ["observation", "action", ("next", "observation")]
    out_keys = ["features"]

    dim: int
    """d, the number of features."""

    @abstractmethod
    def features(
        self,
        observation: Tensor,  # (*b, o)
        action: Tensor,  # (*b, a)
        next_observation: Tensor,  # (*b, o)
    ) -> Tensor:  # (*b, d)
        """φ of each transition."""

    def prepare(self, observation: Tensor) -> None:  # (n, o), standardised
        """Take what stays fixed from a sample of states, once before training."""
        return

    def fit(
        self,
        observation: Tensor,  # (N, o)
        action: Tensor,  # (N, a)
        next_observation: Tensor,  # (N, o)
        rate: Tensor | float = 1.0,
    ) -> None:
        """Move what the map takes from data beside its weights, e.g. a mean, by ``rate`` towards these transitions'."""
        return

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write ``features`` into ``tensordict``."""
        return tensordict.set("features", self.features(*(tensordict.get(key) for key in self.in_keys)))
