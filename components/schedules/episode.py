"""Schedule with one choice an episode."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import Schedule, ScheduleState
from bfmkit.registry import register


@register(Schedule, "episode")
class EpisodeSchedule(Schedule):
    """Schedule by episode: a choice at each episode's start and none within it.

    Example:
        ``schedule: {type: episode}``
    """

    def due(self, progress: ScheduleState) -> Tensor:  # (B,) bool
        return torch.zeros_like(progress.step, dtype=torch.bool)
