"""Environments: batches of bodies, each with a reward that can be computed again from recorded physics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor
from torchrl.envs import EnvBase

from bfmkit.interfaces.spec import EnvironmentSpec


class Advance(NamedTuple):
    """What one step of B environments gives, as plain tensors."""

    observation: Tensor  # (B, o) float32
    reward: Tensor  # (B,) float32
    terminated: Tensor  # (B,) bool, the episode is over for good
    truncated: Tensor  # (B,) bool, only the time is up
    physics: Tensor  # (B, p) float64, after the step


class Environment(EnvBase):
    """B environments of one domain in a batch, each with its own task; a TorchRL environment.

    :meth:`begin` and :meth:`advance` are the plain-tensor way in, which the online loop takes; TorchRL's ``reset``,
    ``step`` and ``rollout`` wrap them. The state that episode e of a row with seed s starts from is a function of
    (s, e) alone, so oracle and learner meet the same episodes.
    """

    kind: ClassVar[str] = "environment"
    folder: ClassVar[str] = "environments"

    spec: EnvironmentSpec
    tasks: tuple[str, ...]
    """The task of each row; B = len(tasks)."""

    @abstractmethod
    def with_rows(self, tasks: Sequence[str]) -> Environment:
        """The same environment with one row for each name, whatever tasks this one has.

        Raises:
            ValueError: for a task that ``spec.tasks`` does not name.
        """

    @abstractmethod
    def seed_rows(self, seeds: Sequence[int], episode: int = 0) -> None:
        """Give each row its seed; the next :meth:`begin` starts episode ``episode``."""

    @abstractmethod
    def begin(self) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, p) float64
        """Start the next episode in every row: first observation and physics."""

    @abstractmethod
    def advance(self, action: Tensor) -> Advance:
        """Step every row; ``action`` (B, a) in [-1, 1]. The row does not restart by itself at an episode's end."""

    @abstractmethod
    def relabel(
        self,
        physics: Tensor,  # (n, p) float64, after the step
        action: Tensor,  # (n, a), the action that led there, in [-1, 1]
        task: str,
    ) -> Tensor:  # (n,) float32
        """The reward that ``task`` gives for recorded steps.

        Raises:
            ValueError: for an unknown task, or sizes that do not fit.
        """

    @abstractmethod
    def quantities(
        self,
        physics: Tensor,  # (n, p) float64
        action: Tensor,  # (n, a)
    ) -> dict[str, Tensor]:  # name -> (n,) float64
        """The physics quantities that the rewards are functions of, named as in ``spec.quantities``."""
