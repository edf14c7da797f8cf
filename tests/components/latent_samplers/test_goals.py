from __future__ import annotations

import torch

from bfmkit.components.latent_samplers.goals import GoalLatents
from bfmkit.testing.latent_sampler import LatentSamplerContract


class TestGoalLatents(LatentSamplerContract):
    def make(self) -> GoalLatents:
        return GoalLatents()


def test_they_are_the_goals_of_the_context() -> None:
    context = TestGoalLatents().context()
    assert torch.equal(GoalLatents().sample(context), context.goals)
