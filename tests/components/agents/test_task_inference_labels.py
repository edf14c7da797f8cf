from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.preference import PreferencePosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.query_rules.budget import BudgetQueryRule
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import LinearBFM


class TestAgentWithLateLabels(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(
            RidgePosterior(), ThompsonAcquisition(), EverySchedule(3), update_every=3, label_memory=7
        )


def walked(steps: int, runs: int = 1, memory: int = 6, update_every: int = 1) -> tuple[TaskInferenceAgent, Tensor]:
    """An agent that was told no reward, and the features (runs, steps, 4) of its steps."""
    agent = TaskInferenceAgent(
        RidgePosterior(regularization=2.0),
        GreedyAcquisition(),
        EverySchedule(100),
        update_every=update_every,
        label_memory=memory,
    )
    agent.start(LinearBFM(), list(range(runs)))
    agent.begin_episode()
    places = torch.randn(runs, steps + 1, 4, generator=torch.Generator().manual_seed(1)) / 4
    for step in range(steps):
        here, there = places[:, step], places[:, step + 1]
        agent.act(here)
        agent.observe(here, here, there, torch.full((runs,), torch.nan), torch.zeros(runs, dtype=torch.bool))
    return agent, places[:, 1:].double()


def believed(*labels: tuple[Tensor, float, float]) -> Tensor:
    """Weighted ridge regression on (features, reward, weight), λ = 2."""
    gram = 2.0 * torch.eye(4, dtype=torch.float64)
    response = torch.zeros(4, dtype=torch.float64)
    for features, reward, weight in labels:
        gram += weight * torch.outer(features, features)
        response += weight * reward * features
    return torch.linalg.solve(gram, response)


@pytest.mark.parametrize("update_every", [1, 4, 30])
@pytest.mark.parametrize("steps", [3, 5, 11, 23])
def test_late_rewards_of_single_steps_are_those_that_come_at_once(update_every: int, steps: int) -> None:
    agent, features = walked(steps, update_every=update_every)
    told = []
    for age in range(min(steps, 6)):
        agent.label(0.1 * age - 0.2, (age, age + 1))
        told.append((features[0, steps - 1 - age], 0.1 * age - 0.2, 1.0))
    torch.testing.assert_close(agent.posterior.mean(agent.belief)[0], believed(*told), rtol=1e-6, atol=1e-8)
    assert agent.state["labels"].tolist() == [len(told)]


def test_a_stretch_is_labelled_by_the_mean_of_its_features_again_and_again_and_weighted() -> None:
    agent, features = walked(9)
    agent.label(1.0, 4, weight=2.5)
    agent.label(-1.0, (1, 3))
    agent.label(-0.5, (1, 3))
    late = features[0, 6:8].mean(0)
    expected = believed((features[0, 5:].mean(0), 1.0, 2.5), (late, -1.0, 1.0), (late, -0.5, 1.0))
    torch.testing.assert_close(agent.posterior.mean(agent.belief)[0], expected, rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="weight"):
        agent.label(1.0, 4, weight=0.0)


def test_a_stretch_may_be_told_in_seconds() -> None:
    one, features = walked(9)
    one.label(1.0, seconds=(2.0, 5.0))  # a step of the ball's takes one second
    torch.testing.assert_close(
        one.posterior.mean(one.belief)[0], believed((features[0, 4:7].mean(0), 1.0, 1.0)), rtol=1e-6, atol=1e-8
    )
    other, features = walked(9)
    other.label(1.0, seconds=0.1)  # a moment is one step
    torch.testing.assert_close(
        other.posterior.mean(other.belief)[0], believed((features[0, 8], 1.0, 1.0)), rtol=1e-6, atol=1e-8
    )
    with pytest.raises(ValueError, match="not both"):
        one.label(1.0, 3, seconds=0.1)


def test_steps_before_the_first_do_not_count() -> None:
    agent, features = walked(2)
    agent.label(1.0, 5)
    expected = believed((features[0].mean(0), 1.0, 1.0))
    torch.testing.assert_close(agent.posterior.mean(agent.belief)[0], expected, rtol=1e-6, atol=1e-8)
    agent.label(1.0, (3, 5))
    assert agent.state["labels"].tolist() == [1]
    fresh, _ = walked(0)
    fresh.label(1.0)
    assert fresh.state["labels"].tolist() == [0]


def test_each_run_has_its_own_label_and_stopped_runs_have_none() -> None:
    agent, features = walked(5, runs=3)
    nan = torch.tensor([[torch.nan] * 4, [0.1] * 4, [0.1] * 4])
    agent.observe(nan, nan, nan, torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    assert list(agent.failures) == [0]
    before = agent.state["belief"].clone()
    agent.label(torch.tensor([1.0, -1.0, 0.5]), (1, 2), runs=torch.tensor([True, True, False]))
    assert agent.state["labels"].tolist() == [0, 1, 0]
    assert (agent.state["belief"][[0, 2]] == before[[0, 2]]).all()
    torch.testing.assert_close(
        agent.posterior.mean(agent.belief)[1], believed((features[1, 4], -1.0, 1.0)), rtol=1e-6, atol=1e-8
    )


def test_a_label_counts_as_information() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), DeterminantSchedule(), label_memory=2)
    agent.start(LinearBFM(), [0])
    agent.begin_episode()
    here = torch.full((4,), 0.5)
    agent.act(here)
    agent.observe(here, here, here, 0.0, torch.tensor([False]))
    agent.label(1.0)
    assert float(agent.information()) == pytest.approx(float(torch.tensor(2.0).log()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((float("nan"),), "finite"),
        ((1e200,), "finite"),
        ((1.0, 0), "at least one past step"),
        ((1.0, (3, 3)), "at least one past step"),
        ((1.0, (-1, 3)), "at least one past step"),
        ((1.0, 7), r"6 steps back \(label_memory\), got 7"),
        ((torch.ones(2),), "reward must be"),
    ],
)
def test_a_label_that_cannot_be_learnt_changes_nothing(arguments: tuple, words: str) -> None:
    agent, _ = walked(9)
    before = agent.state.clone()
    with pytest.raises(ValueError, match=words):
        agent.label(*arguments)
    assert (agent.state == before).all()


def test_who_takes_no_labels_says_so() -> None:
    agent, _ = walked(3, memory=0)
    with pytest.raises(ValueError, match="label_memory"):
        agent.label(1.0)
    with pytest.raises(ValueError, match="knows no comparisons"):
        walked(3)[0].label(1.0, than=(1, 2))
    with pytest.raises(ValueError, match="RandomAgent has no belief"):
        RandomAgent().label(1.0)
    with pytest.raises(ValueError, match="label_memory must not be negative"):
        TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), label_memory=-1)


def test_seconds_are_those_of_the_environment() -> None:
    agent, features = walked(6)
    agent.control_timestep = 0.5  # the model's is 1
    agent.label(1.0, seconds=(1.0, 2.0))
    agent.flush()
    expected = believed((features[0, 2:4].mean(0), 1.0, 1.0))
    torch.testing.assert_close(agent.posterior.mean(agent.belief)[0], expected)


def test_comparisons_take_no_labelled_transitions() -> None:
    with pytest.raises(ValueError, match="learns from comparisons"):
        TaskInferenceAgent(PreferencePosterior(), ThompsonAcquisition(), labelled_transitions=5)


def test_a_budget_is_of_what_comes_after_labelled_transitions() -> None:
    agent = TaskInferenceAgent(
        RidgePosterior(), GreedyAcquisition(), query_rule=BudgetQueryRule(3), labelled_transitions=5
    )
    data = LinearBFM().inference_set()[:5]
    data["next", "reward"] = torch.zeros(5, 1)
    agent.start(LinearBFM(), [0], data)
    agent.begin_episode()
    here = torch.zeros(1, 4)
    for _ in range(6):
        agent.act(here)
        agent.observe(here, here, here, 1.0)
    agent.flush()
    assert agent.state["labels"].tolist() == [5 + 3]
