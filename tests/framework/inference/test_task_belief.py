from __future__ import annotations

import pytest
import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import (
    Posterior,
    QueryRule,
    RunStoppedError,
)
from bfmkit.runs.label_log import LabelLog
from bfmkit.testing.models import BallEnvironment, LinearBFM


class FirstOnly(QueryRule):
    """Takes in the first reward of each run."""

    def should_query(self, posterior: Posterior, belief: TensorDictBase, features: Tensor, labels: Tensor) -> Tensor:
        return labels < 1


def test_a_rule_that_refuses_teaches_nothing_and_counts_no_labels() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), query_rule=FirstOnly())
    agent.start(LinearBFM(), [0, 1])
    environment = BallEnvironment(tasks=["task_0", "task_1"])
    run_episode(agent, environment)
    assert agent.state["labels"].tolist() == [1, 1]
    torch.testing.assert_close(
        agent.belief["precision"].diagonal(dim1=-2, dim2=-1).sum(-1), torch.full((2,), 5.0).double()
    )


def test_forgets_where_no_reward_arrives() -> None:
    agent = TaskInferenceAgent(RidgePosterior(discount=0.5), GreedyAcquisition())
    agent.start(LinearBFM(), [0])
    observation = torch.zeros(4)
    agent.observe(observation, agent.act(observation), observation, float("nan"), torch.tensor(False))
    torch.testing.assert_close(agent.belief["precision"][0], 0.5 * torch.eye(4, dtype=torch.float64))


def test_features_of_the_wrong_width_stop_the_runs_with_an_untouched_belief() -> None:
    class Narrow(LinearBFM):
        def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
            return next_observation[:, :3]

    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(Narrow(), [5, 6])
    observation = torch.full((2, 4), 0.5)
    before = agent.belief.clone()
    with pytest.raises(RunStoppedError, match=r"run 1 \(seed 6\) stopped at step 0: features have shape \(3,\)"):
        agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert (agent.belief == before).all()
    assert agent.state["step"].tolist() == [0, 0]


def test_features_that_are_not_finite_stop_their_run_alone() -> None:
    class Broken(LinearBFM):
        def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
            return next_observation.masked_fill(next_observation > 0.9, float("nan"))

    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(Broken(), [5, 6])
    observation = torch.tensor([[0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert agent.state["labels"].tolist() == [1, 0]
    assert list(agent.failures) == [1]
    torch.testing.assert_close(agent.belief["precision"][1], torch.eye(4, dtype=torch.float64))
    assert agent.belief["mean"][0, 0] > 0


def test_a_reward_too_large_to_learn_from_stops_its_run_alone() -> None:
    agent = TaskInferenceAgent(NormalInverseGammaPosterior(), GreedyAcquisition())
    agent.start(LinearBFM(), [5, 6])
    observation = torch.full((2, 4), 0.5)
    agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    agent.flush()
    before = agent.state.clone()
    agent.observe(observation, agent.act(observation), observation, torch.tensor([1.0, 1e200], dtype=torch.float64))
    agent.flush()
    assert list(agent.failures) == [1] and "too large" in agent.failures[1] and "step 1" in agent.failures[1]
    assert agent.state["labels"].tolist() == [2, 1] and agent.state["step"].tolist() == [2, 1]
    assert (agent.belief[1] == before["belief"][1]).all()
    assert (agent.state["residuals"][1] == before["residuals"][1]).all()
    assert all(value.isfinite().all() for value in agent.state.values(True, True) if value.is_floating_point())


def test_features_too_large_to_learn_from_stop_their_run_alone() -> None:
    class Huge(LinearBFM):
        def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
            return next_observation.double() * torch.tensor([[1.0], [1e200]], dtype=torch.float64)

    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(Huge(), [5, 6])
    observation = torch.full((2, 4), 0.5)
    before = agent.belief.clone()
    with pytest.warns(UserWarning, match="not positive definite in runs"):
        agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert list(agent.failures) == [1] and "too large" in agent.failures[1]
    assert (agent.belief[1] == before[1]).all() and (agent.belief[0] != before[0]).any()


@pytest.mark.parametrize("where", ["update_batch", "predictive_std", "information_gain"])
def test_a_step_that_fails_leaves_everything_as_it_was(where: str) -> None:
    posterior = RidgePosterior()
    agent = TaskInferenceAgent(posterior, GreedyAcquisition(), DeterminantSchedule())
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [5, 6])
    observation = torch.full((2, 4), 0.5)
    agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    before = agent.state.clone()

    def broken(*_: object) -> Tensor:
        raise KeyboardInterrupt

    setattr(posterior, where, broken)
    with pytest.raises(KeyboardInterrupt):
        agent.observe(observation, observation, observation, torch.ones(2))
    assert (agent.state == before).all()
    assert agent.label_log.labels(0).total == 1


def test_features_whose_sum_alone_is_too_large_are_learnt_from() -> None:
    class Large(LinearBFM):
        def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
            return torch.full_like(next_observation, 2e38)

    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(Large(), [5, 6])
    observation = torch.full((2, 4), 0.5)
    with pytest.warns(UserWarning, match="adding 1e-14 of its mean diagonal"):
        agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert agent.failures == {} and agent.state["labels"].tolist() == [1, 1]


def test_a_late_label_counts_for_the_information_of_its_weight() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), DeterminantSchedule(2.0), label_memory=3)
    agent.start(LinearBFM(), [0])
    place = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    agent.choose(place)
    agent.observe(place, place, place, 0.0, torch.tensor([False]))
    before = agent.posterior.log_determinant(agent.belief)
    agent.label(1.0, 1, weight=100.0)
    grown = agent.posterior.log_determinant(agent.belief) - before
    torch.testing.assert_close(agent.state["information"], grown)
