from __future__ import annotations

import pytest

from bfmkit.components.schedules.every import EverySchedule
from bfmkit.testing.schedule import ScheduleContract


class TestEverySchedule(ScheduleContract):
    def make(self) -> EverySchedule:
        return EverySchedule(steps=3)

    def test_counts_from_the_last_choice(self) -> None:
        schedule = self.make()
        due = schedule.due(self.progress(schedule))
        assert due.tolist() == [False, False, False, True, True, True, True, True]

    def test_refuses_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="steps"):
            EverySchedule(steps=0)
