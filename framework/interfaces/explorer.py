"""Explorers: reward-free collection of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces.environment import StepResult


class Explorer(ABC):
    """Acts in a batch of environments without a reward, and learns where to go next."""

    kind: ClassVar[str] = "explorer"
    folder: ClassVar[str] = "explorers"

    @abstractmethod
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a) in [-1, 1]
        """Actions to take."""

    @abstractmethod
    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Take in one step of the batch, and learn from it."""

    @abstractmethod
    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Take back transitions of an earlier session, without learning from them now."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """A few numbers for the log, averaged since the last call."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on, loadable with ``weights_only``."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
