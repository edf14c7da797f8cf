"""Families of networks: the architectures that a BFM is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn


class Networks(ABC):
    """Base class of architectures: critic, actor and encoder of a BFM for given sizes.

    The modules it returns take inputs whose batch dimensions broadcast, and spend no work twice on an input that has
    size 1 where another has size k.
    """

    kind: ClassVar[str] = "networks"
    folder: ClassVar[str] = "networks"

    @abstractmethod
    def critic(self, observation_size: int, action_size: int, dim: int, outputs: int | None = None) -> nn.Module:
        """Critic ``(observation (*b, o), z (*b, d), action (*b, a)) -> (*b, E, outputs)``; d outputs if not given."""

    @abstractmethod
    def actor(self, observation_size: int, action_size: int, dim: int) -> nn.Module:
        """Actor ``(observation (*b, o), z (*b, d)) -> (*b, a)`` in [-1, 1]."""

    @abstractmethod
    def encoder(self, observation_size: int, dim: int) -> nn.Module:
        """Encoder ``(observation (*b, o)) -> (*b, d)``, not normalised; any input of size o will do."""
