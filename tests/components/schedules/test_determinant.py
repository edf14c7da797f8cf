from __future__ import annotations

import math

import pytest
import torch

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.interfaces import ScheduleState
from bfmkit.testing.schedule import ScheduleContract


def chosen(schedule: DeterminantSchedule, features: torch.Tensor) -> list[int]:
    """The steps at which one run chooses, when it sees (n, d) features."""
    posterior = RidgePosterior()
    belief = posterior.prior(1, features.shape[-1])
    information, since, steps = torch.zeros(1, dtype=torch.float64), 0, []
    for step, row in enumerate(features):
        if schedule.due(ScheduleState(torch.tensor([step]), torch.tensor([since]), information)).item():
            information, since = torch.zeros_like(information), 0
            steps.append(step)
        information = information + posterior.information_gain(belief, row.unsqueeze(0))
        belief = posterior.update(belief, row.unsqueeze(0), torch.zeros(1), torch.ones(1, dtype=torch.bool))
        since += 1
    return steps


class TestDeterminantSchedule(ScheduleContract):
    def make(self) -> DeterminantSchedule:
        return DeterminantSchedule(factor=2.0)

    def test_is_due_when_the_determinant_has_grown_by_more_than_the_factor(self) -> None:
        information = torch.tensor([1.9, 2.1, 100.0], dtype=torch.float64).log()
        steps = torch.ones(3, dtype=torch.int64)
        assert self.make().due(ScheduleState(steps, steps, information)).tolist() == [False, True, True]

    def test_choices_get_rarer_as_the_determinant_grows(self) -> None:
        # One unit feature: det V is 1 + n, and has to pass 2.5 times what it was.
        assert chosen(DeterminantSchedule(2.5), torch.ones(70, 1, dtype=torch.float64)) == [2, 7, 20, 52]

    def test_there_are_no_more_choices_than_the_bound_says(self) -> None:
        features = torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        count = len(chosen(DeterminantSchedule(1.5), features))
        largest = float(features.square().sum(-1).max())
        assert 10 < count <= 4 * math.log(1 + 400 * largest / 4) / math.log(1.5)

    def test_refuses_what_makes_no_sense(self) -> None:
        for factor in (1.0, 0.5, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="factor"):
                DeterminantSchedule(factor)
