"""Schedule with a choice every so many steps."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import Schedule, ScheduleState
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Schedule, "every")
class EverySchedule(Schedule):
    """Schedule by steps: a choice is due so many environment steps after the last one.

    Args:
        steps: how many.

    Raises:
        ValueError: if ``steps`` is less than 1.

    Example:
        ``schedule: {type: every, steps: 10}``
    """

    def __init__(self, steps: PositiveInt = 1) -> None:
        self.steps = steps

    def due(self, progress: ScheduleState) -> Tensor:  # (B,) bool
        return progress.steps_since_choice >= self.steps
