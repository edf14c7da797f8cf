from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.improvers.latent_search import LatentSearchImprover
from bfmkit.components.posteriors.logistic import LogisticPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.standardized import StandardizedPosterior
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fallback import Fallback
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.inference.simulated_teacher import Teacher
from bfmkit.interfaces import Improver, InferredTask, ObservedStep
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.recording import record_of
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class Constant(Improver):
    """Takes the same action always, and writes down what it is told."""

    def __init__(self, action: list[float]) -> None:
        self.action, self.steps, self.opened = torch.tensor(action), [], []

    def prepare(self) -> dict[str, Any]:
        return {"anchors": torch.zeros(len(self.seeds), dtype=torch.int64)}

    def anchor(self, inferred: InferredTask, runs: Tensor) -> None:
        self.state["anchors"].add_(runs)

    def begin_episode(self, inferred: InferredTask, runs: Tensor) -> None:
        self.opened.append(runs.tolist())

    def act(self, observation: Tensor, z: Tensor, inferred: InferredTask) -> Tensor:
        return self.action.expand(len(observation), -1)

    def learn(self, step: ObservedStep, inferred: InferredTask, anchored: Tensor) -> None:
        self.steps.append(step)


def thompson() -> TaskInferenceAgent:
    return TaskInferenceAgent(RidgePosterior(), ThompsonAcquisition())


class TestFineTuningAgent(AgentContract):
    def make(self) -> FineTuningAgent:
        improver = LatentSearchImprover(lookahead=3, group=2)
        return FineTuningAgent(thompson(), improver, Fallback(warmup=1, check_every=5))

    def test_a_record_replays_the_belief_of_the_steps_it_took(self) -> None:
        agent = self.make()
        agent.label_log = LabelLog()
        agent.start(LinearBFM(), [11, 3, 8])
        environment = self.environment()
        for _ in range(3):
            run_episode(agent, environment)
        assert agent.state["fine_tuning", "anchored"].all()
        for run in range(3):
            record = record_of(agent, run)
            assert replay(record, Parts(LinearBFM(), agent.posterior, agent.acquisition)).same
            torch.testing.assert_close(record.tensors["weights"], agent.posterior.mean(agent.belief)[run])


def living(improver: Improver, fallback: Fallback | None, episodes: int) -> tuple[FineTuningAgent, list[float]]:
    agent = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[0]), improver, fallback)
    agent.start(LinearBFM(), [0])
    environment = BallEnvironment()
    environment.seed([0])
    return agent, [float(run_episode(agent, environment).returns) for _ in range(episodes)]


def test_a_worse_policy_is_taken_back_and_a_better_one_kept() -> None:
    agent, returns = living(Constant([0.0, 0.0, 0.0, 0.0]), Fallback(warmup=2, check_every=1), 10)
    # The inferred policy earns one a step; a trial ends where it has cost 2 % of the episodes so far.
    assert returns[:2] == [20.0, 20.0]
    assert min(returns) >= 18
    assert sum(returns) >= 0.98 * 200 - 1
    lazy = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[1]), Constant([1.0, 0.0, 0.0, 0.0]), Fallback(warmup=2))
    lazy.start(LinearBFM(), [0])
    environment = BallEnvironment()
    assert [float(run_episode(lazy, environment).returns) for _ in range(4)] == [0.0, 0.0, 20.0, 20.0]
    assert agent.improver.state["anchors"].tolist() == lazy.improver.state["anchors"].tolist() == [1]


def test_it_says_whose_policy_each_episode_was() -> None:
    agent = FineTuningAgent(
        FixedWeightsAgent(torch.eye(4)[0]), Constant([0.0, 0.0, 0.0, 0.0]), Fallback(warmup=1, check_every=5)
    )
    agent.start(LinearBFM(), [0])
    environment, policies = BallEnvironment(), []
    for _ in range(2):
        run_episode(agent, environment)
        policies += agent.policies()
    assert policies == ["inferred", "taken back"]
    better, _ = living(Constant([1.0, 0.0, 0.0, 0.0]), Fallback(warmup=1), 2)
    without, _ = living(Constant([1.0, 0.0, 0.0, 0.0]), None, 1)
    assert better.policies() == without.policies() == ["improved"]
    assert thompson().policies() is None


def test_without_a_fallback_it_acts_from_the_first_step() -> None:
    agent, returns = living(Constant([0.0, 0.5, 0.0, 0.0]), None, 2)
    assert returns == [0.0, 0.0]
    assert agent.improver.opened == [[True], [True]]


def test_the_improver_learns_from_every_step_and_knows_whose_it_was() -> None:
    agent, _ = living(Constant([0.0, 0.0, 0.0, 0.0]), Fallback(warmup=1, check_every=5), 2)
    improved = [bool(step.improved) for step in agent.improver.steps]
    assert improved == [False] * 20 + [True] * 5 + [False] * 15
    assert all(bool(step.moved) and bool(step.observed) for step in agent.improver.steps)


def test_an_action_that_is_not_finite_is_replaced_by_the_inferred_one() -> None:
    agent, returns = living(Constant([float("nan"), 0.0, 0.0, 0.0]), None, 1)
    assert returns == [20.0] and not agent.failures


def test_the_latent_that_torchrl_acts_with_is_the_searchs() -> None:
    agent = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[0]), LatentSearchImprover(std=0.5), None)
    agent.start(LinearBFM(), [0])
    z = agent.choose(torch.zeros(1, 4))
    assert not torch.equal(z, agent.state["z"])
    torch.testing.assert_close(agent.act(torch.zeros(1, 4)), torch.nn.functional.normalize(z, dim=-1))


def test_refuses_the_state_of_another_agent() -> None:
    agent, plain = FineTuningAgent(thompson(), Constant([0.0] * 4)), thompson()
    agent.start(LinearBFM(), [0])
    plain.start(LinearBFM(), [0])
    with pytest.raises(ValueError, match="another kind of agent"):
        agent.load_state_dict(plain.state_dict())


def test_choices_of_z_alone_are_learnt_from_where_another_policy_acts() -> None:
    agent = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[0]), LatentSearchImprover(lookahead=2, group=2), None)
    agent.start(LinearBFM(), [0])
    agent.begin_episode()
    for _ in range(8):
        place = torch.zeros(1, 4)
        action = agent.bfm.act(place, agent.choose(place))
        agent.observe(place, action, action, action[:, 0])
    assert agent.state["improver", "adam", "count"].tolist() != [0]


def test_says_whether_a_policy_of_z_can_act_for_it() -> None:
    assert living(LatentSearchImprover(lookahead=2, group=2), None, 1)[0].acts_by_latent
    assert not living(Constant([1.0, 0.0, 0.0, 0.0]), None, 1)[0].acts_by_latent


class Needy(Constant):
    needs_weights = True


def test_an_improver_that_needs_weights_waits_for_some() -> None:
    agent = FineTuningAgent(thompson(), Needy([1.0, 0.0, 0.0, 0.0]), None)
    agent.start(LinearBFM(), [0])
    environment = BallEnvironment()
    for anchored in (0, 1):
        assert agent.improver.state["anchors"].tolist() == [0]
        agent.begin_episode()
        agent.act(torch.zeros(1, 4))
        assert agent.improver.state["anchors"].tolist() == [anchored]
        run_episode(agent, environment)


def test_an_action_that_is_replaced_is_not_the_improvers() -> None:
    agent, _ = living(Constant([float("nan"), 0.0, 0.0, 0.0]), None, 1)
    assert not any(step.improved.any() for step in agent.improver.steps)


def test_an_improver_is_told_rewards_in_the_units_of_the_weights() -> None:
    improver, posterior = Constant([0.0, 0.0, 0.0, 0.0]), StandardizedPosterior(RidgePosterior())
    base = TaskInferenceAgent(posterior, ThompsonAcquisition())
    agent = FineTuningAgent(base, improver, None)
    agent.start(LinearBFM(), [0])
    places = torch.randn(200, 1, 4, generator=torch.Generator().manual_seed(0)) / 2
    for place in places:
        agent.observe(place, place, place, 100 + 10 * place[:, 0].double())
    told = torch.cat([step.reward for step in improver.steps[-50:]])
    expected = places[-50:, 0].double() @ posterior.mean(agent.belief)[0]
    torch.testing.assert_close(told, expected, atol=0.1, rtol=0.1)


def test_a_base_whose_teacher_alone_sees_rewards_is_refused() -> None:
    base = TaskInferenceAgent(LogisticPosterior(), ThompsonAcquisition(), label_memory=40, teacher=Teacher())
    with pytest.raises(ValueError, match="a base without one"):
        FineTuningAgent(base, Constant([0.0] * 4))


def test_what_the_base_depends_on_the_agent_depends_on() -> None:
    agent = FineTuningAgent(OracleAgent(label_every=5), Constant([0.0] * 4))
    assert agent.acts_by_steps and agent.base.acts_by_steps
    agent.control_timestep = 0.04
    assert agent.base.control_timestep == 0.04
