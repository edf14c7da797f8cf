from __future__ import annotations

from bfmkit.components.schedules.episode import EpisodeSchedule
from bfmkit.testing.schedule import ScheduleContract


class TestEpisodeSchedule(ScheduleContract):
    def make(self) -> EpisodeSchedule:
        return EpisodeSchedule()

    def test_is_never_due(self) -> None:
        schedule = self.make()
        assert not schedule.due(self.progress(schedule)).any()
