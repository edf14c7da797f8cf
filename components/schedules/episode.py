"""Choose once an episode."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import Schedule, ScheduleState
from bfmkit.registry import register


@register(Schedule, "episode")
class EpisodeSchedule(Schedule):
    """Never choose within an episode: every run chooses at an episode's start in any case."""

    def due(self, progress: ScheduleState) -> Tensor:  # (B,) bool
        return torch.zeros_like(progress.step, dtype=torch.bool)
