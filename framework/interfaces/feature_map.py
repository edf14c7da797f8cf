"""Feature maps φ, in which rewards are linear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor


class FeatureMap(TensorDictModuleBase, ABC):
    """Base class of feature maps φ(s, a, s'); rewards are modelled as r ≈ φᵀw.

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
        """Features φ(s, a, s') of each transition."""

    def prepare(self, observation: Tensor) -> None:  # (n, o), standardised
        """Fit what stays fixed (such as a scale) to a sample of states, once before training."""
        return

    def fit(
        self,
        observation: Tensor,  # (N, o)
        action: Tensor,  # (N, a)
        next_observation: Tensor,  # (N, o)
        rate: Tensor | float = 1.0,
    ) -> None:
        """Move statistics of the data, e.g. a mean, by ``rate`` towards those of these transitions."""
        return

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write ``features`` into ``tensordict``."""
        return tensordict.set("features", self.features(*(tensordict.get(key) for key in self.in_keys)))
