"""Steps that the agent learns from at once."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.components.query_rules.budget import BudgetQueryRule
from bfmkit.components.query_rules.d_gap import DGapQueryRule
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.components.schedules.episode import EpisodeSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import Posterior, RunStoppedError
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

TASKS = ["task_0", "task_3"]


class TestAgentThatLearnsInBlocks(AgentContract):
    def make(self) -> TaskInferenceAgent:
        acquisition = UCBAcquisition(EllipsoidCandidates(count=32))
        return TaskInferenceAgent(RidgePosterior(discount=0.99), acquisition, EverySchedule(6), update_every=4)

    def test_going_on_in_the_middle_of_a_block_gives_the_same_bits(self) -> None:
        states = []
        for saves in (False, True):
            agent, environment = self.started(), self.environment()
            environment.reset_batch()
            agent.begin_episode()
            for step in range(20):
                if saves and step == 11:
                    assert agent.state["pending", "count"].tolist() == [1, 1, 1]
                    file = io.BytesIO()
                    torch.save(agent.state_dict(), file)
                    file.seek(0)
                    agent = self.started()
                    agent.load_state_dict(torch.load(file, weights_only=True))
                self.step(agent, environment)
            agent.flush()
            states.append(agent.state)
        assert (states[0] == states[1]).all()

    def test_looking_changes_nothing(self) -> None:
        watched, alone = self.started(), self.started()
        run_episode(watched, self.environment(), lambda _: watched.diagnostics(torch.full((3, 4), 0.1)))
        run_episode(alone, self.environment())
        assert (watched.state == alone.state).all()


class TestAgentThatLearnsInBlocksAndCountsInformation(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), DeterminantSchedule(), update_every=5)

    def test_chooses_after_a_block_that_told_enough(self) -> None:
        agent, environment = self.started([0]), self.environment([0])
        since = []
        run_episode(agent, environment, lambda _: since.append(int(agent.state["steps_since_choice"])))
        # In the first block the determinant doubles many times; later on it takes longer than a block.
        assert since[:6] == [1, 2, 3, 4, 5, 1] and max(since) >= 10


def agent_of(posterior: Posterior, update_every: int, steps: int = 7) -> TaskInferenceAgent:
    agent = TaskInferenceAgent(posterior, ThompsonAcquisition(0.1), EverySchedule(steps), update_every=update_every)
    agent.start(LinearBFM(), [5, 6])
    return agent


@pytest.mark.parametrize(
    "posterior",
    [
        RidgePosterior(),
        WeightedRidgePosterior(discount=0.9),
        NormalInverseGammaPosterior(discount=0.95, rate=1e-6),
        EnsemblePosterior(members=8),
        SlidingWindowPosterior(steps=8),
    ],
    ids=lambda posterior: type(posterior).__name__,
)
def test_what_is_learnt_in_blocks_is_what_is_learnt_step_by_step(posterior: Posterior) -> None:
    def lived(update_every: int) -> tuple[Tensor, Tensor]:
        agent, environment = agent_of(posterior, update_every), BallEnvironment(tasks=TASKS, lengths=[20, 13])
        means: list[Tensor] = []
        returns = [
            run_episode(agent, environment, lambda _: means.append(posterior.mean(agent.belief))).returns
            for _ in range(2)
        ]
        assert agent.state["labels"].tolist() == [40, 26]
        return torch.stack(means), torch.stack(returns)

    torch.testing.assert_close(lived(5), lived(1), rtol=1e-4, atol=1e-4)


def test_nothing_is_put_off_beyond_a_choice_or_an_episode() -> None:
    agent, counts, choices = agent_of(RidgePosterior(), 5), [], []

    def look(_: object) -> None:
        counts.append(agent.state["pending", "count"].tolist()[0])
        choices.append(agent.state["steps_since_choice"].tolist()[0])

    run_episode(agent, BallEnvironment(tasks=TASKS), look)
    # After a step: full at five, emptied before the choice at seven.
    assert counts == [1, 2, 3, 4, 0, 1, 2, 1, 2, 3, 4, 0, 1, 2, 1, 2, 3, 4, 0, 1]
    assert choices[:8] == [1, 2, 3, 4, 5, 6, 7, 1]
    assert agent.state["pending", "count"].tolist() == [0, 0]
    assert (agent.belief == agent.state["belief"]).all()


class Broken(LinearBFM):
    """Its features are not a number far to the right."""

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return next_observation.masked_fill(next_observation > 0.9, float("nan"))


def troubled(update_every: int, rewards: list[float], bfm: LinearBFM, places: list[float]) -> TaskInferenceAgent:
    """Two runs of nine steps, the second of which meets those rewards and places."""
    agent = TaskInferenceAgent(
        NormalInverseGammaPosterior(rate=1e-6), GreedyAcquisition(), EpisodeSchedule(), update_every=update_every
    )
    agent.start(bfm, [5, 6])
    agent.begin_episode()
    for step in range(9):
        reward = torch.tensor([0.1 * step, rewards[step]], dtype=torch.float64)
        place = torch.tensor([[0.1 * step], [places[step]]]) * torch.ones(1, 4)
        agent.act(torch.zeros(2, 4))
        agent.observe(torch.zeros(2, 4), torch.zeros(2, 4), place, reward)
    agent.flush()
    return agent


@pytest.mark.parametrize("trouble", ["reward", "features"])
@pytest.mark.parametrize("at", [0, 3, 4, 7])
def test_a_step_that_nothing_can_be_learnt_from_stops_its_run_as_of_that_step(trouble: str, at: int) -> None:
    rewards, places = [0.3 * step for step in range(9)], [0.05 * step for step in range(9)]
    if trouble == "reward":
        rewards[at] = 1e200
    else:
        places[at] = 1.0
    one, five = (troubled(update_every, rewards, Broken(), places) for update_every in (1, 5))
    assert five.failures == one.failures and f"run 1 (seed 6) stopped at step {at}" in five.failures[1]
    for name in ("step", "labels", "stopped"):
        assert five.state[name].tolist() == one.state[name].tolist(), name
    assert five.state["labels"].tolist() == [9, at]
    for name in ("mean", "precision", "rate"):
        torch.testing.assert_close(five.belief[name], one.belief[name], rtol=1e-9, atol=1e-9)
    assert five.state["residuals"][1, 0] == at
    assert all(value.isfinite().all() for value in five.state.values(True, True) if value.is_floating_point())


def test_a_run_that_stops_before_its_choice_chooses_no_more() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), EverySchedule(3), update_every=9)
    agent.start(Broken(), [5])
    agent.begin_episode()
    for place in (0.1, 1.0, 0.2):
        agent.observe(torch.zeros(4), agent.act(torch.zeros(4)), torch.full((4,), place), 1.0)
    with pytest.raises(RunStoppedError, match="stopped at step 1: features are not finite"):
        agent.act(torch.zeros(4))
    assert agent.state["labels"].tolist() == [1]


def test_a_budget_is_kept_to_the_label() -> None:
    agent = TaskInferenceAgent(
        RidgePosterior(), GreedyAcquisition(), EpisodeSchedule(), BudgetQueryRule(7), update_every=5
    )
    agent.start(LinearBFM(), [5, 6])
    run_episode(agent, BallEnvironment(tasks=TASKS))
    assert agent.state["labels"].tolist() == [7, 7]
    # Unit features, so the trace counts the labels.
    trace = agent.belief["precision"].diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.full((2,), 11.0).double())


def test_refuses_blocks_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="update_every must be at least 1"):
        TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), update_every=0)
    with pytest.raises(ValueError, match="update_every must be 1 with the query rule DGapQueryRule"):
        TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), query_rule=DGapQueryRule(), update_every=2)
