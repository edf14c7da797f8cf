"""Explorers: reward-free collection of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces.environment import StepResult


class Explorer(ABC):
    """Base class of explorers: reward-free policies that gather data and learn where to go next."""

    kind: ClassVar[str] = "explorer"
    folder: ClassVar[str] = "explorers"

    @abstractmethod
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a) in [-1, 1]
        """Actions of the batch."""

    @abstractmethod
    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Update from one step of the batch."""

    @abstractmethod
    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Restore transitions of an earlier session, without learning from them now."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Numbers for the log, averaged since the last call."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """State of the explorer, loadable with ``weights_only``."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
