"""Contract of schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from bfmkit.interfaces import Schedule, ScheduleState


class ScheduleContract(ABC):
    """Contract of schedules: subclass it in a test and build one in ``make``."""

    @abstractmethod
    def make(self) -> Schedule:
        """The schedule under test."""

    def progress(self, schedule: Schedule) -> ScheduleState:
        """Eight runs at different points."""
        since = torch.tensor([0, 1, 2, 3, 10, 100, 999, 1000])
        information = torch.linspace(0, 40, 8, dtype=torch.float64)
        if not schedule.needs_information:
            information = torch.full_like(information, float("nan"))
        return ScheduleState(since + 17, since, information)

    def test_says_yes_or_no_to_each_run(self) -> None:
        schedule = self.make()
        due = schedule.due(self.progress(schedule))
        assert due.shape == (8,)
        assert due.dtype == torch.bool

    def test_a_run_that_has_just_chosen_is_not_due(self) -> None:
        schedule = self.make()
        nothing = torch.zeros(2, dtype=torch.int64)
        information = torch.full((2,), 0.0 if schedule.needs_information else float("nan"), dtype=torch.float64)
        assert not schedule.due(ScheduleState(nothing + 5, nothing, information)).any()

    def test_runs_do_not_touch_each_other(self) -> None:
        schedule = self.make()
        progress = self.progress(schedule)
        together = schedule.due(progress)
        for run in range(8):
            alone = ScheduleState(
                *(getattr(progress, name)[run : run + 1] for name in ScheduleState.__dataclass_fields__)
            )
            assert schedule.due(alone).tolist() == together[run : run + 1].tolist()
