"""Explorers: reward-free collection of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule
from torch import Tensor

from bfmkit.interfaces.environment import StepResult


class Explorer(ABC):
    """Base class of explorers: reward-free policies that gather data and learn where to go next."""

    kind: ClassVar[str] = "explorer"
    folder: ClassVar[str] = "explorers"

    @property
    def policy(self) -> TensorDictModule:
        """The explorer as a TensorDict policy, for TorchRL's rollouts and collectors in this process.

        It acts there; :meth:`learn` takes in what they gather.

        Example:
            ``for batch in Collector(environment, explorer.policy, ...): explorer.learn(batch)``
        """
        return TensorDictModule(self.act, ["observation"], ["action"])

    def learn(self, rollout: TensorDictBase) -> None:  # batch (B, T)
        """Update from a rollout of a batched environment, step by step."""
        for step in rollout.unbind(1):
            following, rows = step["next"], len(step)
            outcome = StepResult(
                observation=following["observation"],
                reward=following["reward"].reshape(rows),
                terminated=following["terminated"].reshape(rows),
                truncated=following["truncated"].reshape(rows),
                physics=following["physics"],
            )
            self.observe(step["observation"], step["action"], outcome)

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
