from __future__ import annotations

from itertools import pairwise

import torch

from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.schedules.episode import EpisodeSchedule
from bfmkit.testing.agent import AgentContract


class TestRandomAgent(AgentContract):
    def make(self) -> RandomAgent:
        return RandomAgent()

    def test_wants_something_else_at_every_step(self) -> None:
        agent, environment = self.started(), self.environment()
        environment.reset_batch()
        actions = [self.step(agent, environment) for _ in range(5)]
        assert all((one != other).any(-1).all() for one, other in pairwise(actions))
        assert agent.state["labels"].tolist() == [0, 0, 0]


class TestEpisodicRandomAgent(AgentContract):
    def make(self) -> RandomAgent:
        return RandomAgent(EpisodeSchedule())

    def test_stays_with_a_direction_until_the_episode_ends(self) -> None:
        agent, environment = self.started(), self.environment()
        environment.reset_batch()
        first, second = self.step(agent, environment), self.step(agent, environment)
        torch.testing.assert_close(first, second, rtol=0, atol=0)
        agent.begin_episode()
        assert (self.step(agent, environment) != first).any(-1).all()
