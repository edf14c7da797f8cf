"""Schedules, the times of choices of z, and query rules, the rewards to ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces.posterior import Posterior


@dataclass(frozen=True)
class ScheduleState:
    """Steps and information gained since each of B runs last selected its weights."""

    step: Tensor  # (B,) int64, environment steps so far
    steps_since_choice: Tensor  # (B,) int64
    information_since_choice: Tensor  # (B,) float64, growth of log det of the precision; NaN unless asked for


class Schedule(ABC):
    """Base class of schedules: which runs select new weights now. Every run does at the start of an episode."""

    kind: ClassVar[str] = "schedule"
    folder: ClassVar[str] = "schedules"

    needs_information: bool = False
    """Whether :attr:`ScheduleState.information_since_choice` must be computed, which costs a solve a step."""

    @abstractmethod
    def due(self, progress: ScheduleState) -> Tensor:  # (B,) bool
        """Mask of the runs that select new weights before their next action."""


class QueryRule(ABC):
    """Base class of query rules: which rewards to ask for."""

    kind: ClassVar[str] = "query_rule"
    folder: ClassVar[str] = "query_rules"

    needs_features: bool = True
    """Whether :meth:`should_query` reads belief or features. One that does not can be asked before they are known."""

    @abstractmethod
    def should_query(
        self,
        posterior: Posterior,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d), of the transition whose reward is on offer; NaN if they are not needed
        labels: Tensor,  # (B,) int64, rewards taken in so far
    ) -> Tensor:  # (B,) bool
        """Mask of the runs that ask for the reward of this step."""
