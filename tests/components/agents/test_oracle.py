from __future__ import annotations

import pytest
import torch

from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.environments.labels import label
from bfmkit.inference.episode import run_episode
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class TestOracleAgent(AgentContract):
    def make(self) -> OracleAgent:
        return OracleAgent(labelled_transitions=64)

    def test_acts_as_well_as_can_be_from_the_start(self) -> None:
        returns = run_episode(self.started(), self.environment()).returns
        torch.testing.assert_close(returns, torch.full((3,), 20.0, dtype=torch.float64), rtol=0, atol=1e-4)

    def test_finds_the_weights_of_the_reward(self) -> None:
        agent = self.started()
        agent.act(torch.zeros(3, 4))
        expected = torch.zeros(3, 4, dtype=torch.float64)
        expected[[0, 1, 2], [0, 3, 1]] = 1.0
        torch.testing.assert_close(agent.state["weights"], expected, rtol=0, atol=1e-5)

    def test_learns_nothing(self) -> None:
        agent = self.started()
        run_episode(agent, self.environment())
        assert agent.state["labels"].tolist() == [0, 0, 0]

    def test_refuses_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="labelled_transitions"):
            OracleAgent(labelled_transitions=0)
        with pytest.raises(ValueError, match="regularization"):
            OracleAgent(regularization=0.0)
        agent = self.make()
        with pytest.raises(ValueError, match="rewards"):
            agent.start(LinearBFM(), [1, 2], self.labelled(agent, ["task_0"]))
        with pytest.raises(ValueError, match="label_every"):
            OracleAgent(label_every=0)
        with pytest.raises(ValueError, match=r"rewards must be \(64, 1, T\)"):
            OracleAgent(label_every=5).start(LinearBFM(), [1], self.labelled(agent, ["task_0"]))


CHANGING = "where(step <= 8, x_0, -x_2)"


@pytest.mark.parametrize(("every", "expected"), [(None, 8.0), (20, 8.0), (8, 20.0), (4, 20.0)])
def test_knows_a_task_that_changes_as_well_as_it_asks_for(every: int | None, expected: float) -> None:
    bfm = LinearBFM()
    agent = OracleAgent(label_every=every)
    environment = BallEnvironment(tasks=[CHANGING, "task_1"])
    agent.start(bfm, [4, 5], label(bfm.inference_set(), environment, environment.tasks, every))
    # In the second episode it is told the steps of that episode.
    for _ in range(2):
        returns = run_episode(agent, environment).returns
        torch.testing.assert_close(returns, torch.tensor([expected, 20.0], dtype=torch.float64), rtol=0, atol=1e-3)
