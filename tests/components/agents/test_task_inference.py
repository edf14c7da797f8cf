from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.query_rules.always import AlwaysQueryRule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import (
    Acquisition,
    Agent,
    Schedule,
    ScheduleState,
    StepResult,
)
from bfmkit.recipe import RecipeError, build_node
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class Telling(Schedule):
    """Due when something has been learnt."""

    needs_information = True

    def __init__(self, threshold: float = 1.0) -> None:
        self.threshold = threshold
        self.seen: list[Tensor] = []

    def due(self, progress: ScheduleState) -> Tensor:
        self.seen.append(progress.information_since_choice.clone())
        return progress.information_since_choice >= self.threshold


class TestTaskInferenceAgent(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=32)))

    def test_finds_out_what_it_is_to_do(self) -> None:
        agent, environment = self.started(), self.environment()
        returns = torch.stack([run_episode(agent, environment).returns for _ in range(4)])
        assert (returns[-1] > 18.5).all()
        assert (returns[-1] > returns[0]).all()
        assert agent.state["labels"].tolist() == [80, 80, 80]

    def test_belief_is_that_of_what_it_saw(self) -> None:
        agent, environment = self.started(), self.environment()
        steps = []
        run_episode(agent, environment, steps.append)
        features = torch.stack([step.outcome.observation for step in steps], 1).double()
        rewards = torch.stack([step.outcome.reward for step in steps], 1).double()
        posterior = RidgePosterior()
        expected = posterior.condition_on(posterior.prior(3, 4), features, rewards)
        torch.testing.assert_close(agent.belief["mean"], expected["mean"])
        torch.testing.assert_close(agent.belief["precision"], expected["precision"])

    def test_diagnostics_are_those_of_its_belief(self) -> None:
        agent, environment = self.started(), self.environment()
        run_episode(agent, environment)
        observation = torch.full((3, 4), 0.1)
        said = agent.diagnostics(observation)
        torch.testing.assert_close(said["mean"], agent.belief["mean"])
        torch.testing.assert_close(said["log_determinant"], agent.belief["precision"].logdet())
        successor = agent.bfm.successor_features(observation, agent.state["z"])[:, 0].double()
        covariance = agent.belief["precision"].inverse()
        torch.testing.assert_close(said["width"], torch.einsum("bi,bij,bj->b", successor, covariance, successor).sqrt())


class TestFullTaskInferenceAgent(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(
            RidgePosterior(discount=0.99), GreedyAcquisition(), EverySchedule(steps=3), AlwaysQueryRule()
        )

    def test_chooses_as_the_schedule_says_and_at_each_episodes_start(self) -> None:
        agent, environment = self.started(), self.environment()
        z = []
        for _ in range(2):
            run_episode(agent, environment, lambda step: z.append(step.z.clone()))
        changes = [index for index in range(1, 40) if not torch.equal(z[index], z[index - 1])]
        assert changes == [3, 6, 9, 12, 15, 18, 20, 23, 26, 29, 32, 35, 38]


class TestInformedTaskInferenceAgent(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), Telling())

    def test_counts_information_since_the_last_choice(self) -> None:
        agent, environment = self.started([0]), self.environment([0])
        run_episode(agent, environment)
        seen = torch.cat(agent.schedule.seen)
        assert seen[0] == 0
        assert seen.max() >= 1.0
        # Unit features: the first tells ln 2, the second in the same direction ln(3/2).
        torch.testing.assert_close(seen[1:3], torch.tensor([2.0, 3.0], dtype=torch.float64).log())


class TestWarmTaskInferenceAgent(AgentContract):
    def make(self) -> TaskInferenceAgent:
        return TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), labelled_transitions=64)

    def test_starts_from_what_the_labels_say(self) -> None:
        agent = self.started()
        assert agent.state["labels"].tolist() == [64] * 3
        labelled = self.labelled(agent, ["task_0", "task_3", "task_1"])
        posterior = RidgePosterior()
        features = labelled["next", "observation"].expand(3, 64, 4)
        expected = posterior.condition_on(posterior.prior(3, 4), features, labelled["next", "reward"].mT)
        assert (agent.belief == expected).all()
        assert (run_episode(agent, self.environment()).returns > 19.5).all()
        assert agent.state["labels"].tolist() == [84] * 3

    def test_refuses_labels_that_are_none(self) -> None:
        agent = self.make()
        labelled = self.labelled(agent, ["task_0"])
        with pytest.raises(ValueError, match=r"rewards must be \(64, 2\)"):
            agent.start(LinearBFM(), [1, 2], labelled)
        labelled["next", "reward"][3] = float("nan")
        with pytest.raises(ValueError, match="not finite"):
            agent.start(LinearBFM(), [1], labelled)
        with pytest.raises(ValueError, match="negative"):
            TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), labelled_transitions=-1)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_rewards_of_any_size_are_learnt_from(scale: float) -> None:
    class Scaled(BallEnvironment):
        factor = 1.0

        def step_batch(self, action: Tensor) -> StepResult:
            outcome = super().step_batch(action)
            return outcome._replace(reward=self.factor * outcome.reward.double())

    returns = {}
    for factor in (1.0, scale):
        agent = TaskInferenceAgent(NormalInverseGammaPosterior(), ThompsonAcquisition())
        agent.start(LinearBFM(), [1, 2])
        environment = Scaled(tasks=["task_0", "task_3"])
        environment.factor = factor
        returns[factor] = torch.stack([run_episode(agent, environment).returns for _ in range(3)]) / factor
    # What it does is the same, for all it believes is scaled.
    torch.testing.assert_close(returns[scale], returns[1.0], rtol=1e-4, atol=1e-4)
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
    agent.start(LinearBFM(), [1, 2])
    environment = Scaled(tasks=["task_0", "task_3"])
    environment.factor = scale
    for _ in range(4):
        run_episode(agent, environment)
    assert not agent.failures and agent.state["z"].isfinite().all() and agent.belief["mean"].isfinite().all()


@pytest.mark.parametrize(
    "acquisition",
    [
        GreedyAcquisition(),
        ThompsonAcquisition(),
        UCBAcquisition(EllipsoidCandidates(count=8)),
        UCBAcquisition(EllipsoidCandidates(count=8), confidence_radius=0.0),
    ],
)
def test_rewards_of_zero_and_a_latent_of_zero_norm_are_no_trouble(acquisition: Acquisition) -> None:
    class Nothing(BallEnvironment):
        def step_batch(self, action: Tensor) -> StepResult:
            outcome = super().step_batch(action)
            return outcome._replace(reward=torch.zeros_like(outcome.reward))

    agent = TaskInferenceAgent(RidgePosterior(), acquisition)
    agent.start(LinearBFM(), [1, 2])
    episode = run_episode(agent, Nothing(tasks=["task_0", "task_3"]))
    assert episode.returns.tolist() == [0.0, 0.0] and not agent.failures
    assert agent.state["z"].isfinite().all() and (agent.belief["mean"] == 0).all()


@pytest.mark.parametrize(
    ("posterior", "acquisition", "wrong"),
    [
        ({"type": "ridge"}, {"type": "information", "candidates": {"type": "ellipsoid"}}, "no radius"),
        ({"type": "ridge", "discount": 0.9}, {"confidence_radius": "theoretical"}, "without forgetting"),
        (
            {"type": "normal_inverse_gamma"},
            {"confidence_radius": {"type": "self_normalized", "delta": 0.1}},
            "not for this NormalInverseGamma",
        ),
    ],
)
def test_what_cannot_work_together_is_refused_before_anything_runs(
    posterior: dict, acquisition: dict, wrong: str
) -> None:
    acquisition = {"type": "ucb", "candidates": {"type": "ellipsoid"}, **acquisition}
    node = {"type": "task_inference", "posterior": posterior, "acquisition": acquisition}
    with pytest.raises(RecipeError, match=f"^mine: [^\\n]*{wrong}[^\\n]*$"):
        build_node(Agent, node, source="mine")
