from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bfmkit.components.latent_samplers.goals import GoalLatents
from bfmkit.testing.latent_sampler import LatentSamplerContract


class TestGoalLatents(LatentSamplerContract):
    def make(self) -> GoalLatents:
        return GoalLatents()


def test_they_are_the_goals_of_the_context() -> None:
    context = TestGoalLatents().context()
    assert torch.equal(GoalLatents().sample(context), context.goals)


def test_nobody_solves_for_features_that_are_not_read() -> None:
    def solve() -> Tensor:
        raise AssertionError("features were asked for")

    context = replace(TestGoalLatents().context(), make_features=solve)
    assert torch.equal(GoalLatents().sample(context), context.goals)
