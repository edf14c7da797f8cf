from __future__ import annotations

import pytest
import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.query_rules.always import AlwaysQueryRule
from bfmkit.components.schedules.episode import EpisodeSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import (
    Acquisition,
    AcquisitionContext,
    Agent,
    Posterior,
    QueryRule,
    RunStoppedError,
    Schedule,
    ScheduleState,
    StepResult,
)
from bfmkit.recipe import RecipeError, build_node
from bfmkit.runs.label_log import LabelLog
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.utils.rng import normal_noise


class FirstOnly(QueryRule):
    """Takes in the first reward of each run."""

    def should_query(self, posterior: Posterior, belief: TensorDictBase, features: Tensor, labels: Tensor) -> Tensor:
        return labels < 1


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


def test_runs_that_are_not_due_draw_no_noise() -> None:
    drawn = []

    class Watching(GreedyAcquisition):
        def propose(self, context: AcquisitionContext) -> Tensor:
            drawn.append(len(context.noise))
            return super().propose(context)

    agent = TaskInferenceAgent(RidgePosterior(), Watching(), EpisodeSchedule())
    agent.start(LinearBFM(), [0, 1, 2])
    observation = torch.zeros(3, 4)
    agent.act(observation)
    agent.observe(observation, observation, observation, torch.zeros(3))
    agent.begin_episode(torch.tensor([False, True, False]))
    agent.act(observation)
    assert drawn == [3, 1]
    # What the one draws is its own noise: the mean is zero, so the choice is the noise's direction.
    noise = normal_noise([1], "acquisition", [1], (4,))
    torch.testing.assert_close(agent.state["weights"][1:2], torch.nn.functional.normalize(noise, dim=-1))


def test_one_choice_a_step_is_enough_whatever_the_schedule_says() -> None:
    class Eager(Schedule):
        def due(self, progress: ScheduleState) -> Tensor:
            return torch.ones_like(progress.step, dtype=torch.bool)

    seen = []

    class Watching(GreedyAcquisition):
        def propose(self, context: AcquisitionContext) -> Tensor:
            seen.append(context)
            return super().propose(context)

    agent = TaskInferenceAgent(RidgePosterior(), Watching(), Eager())
    agent.start(LinearBFM(), [0])
    for _ in range(3):
        agent.act(torch.zeros(4))
    assert len(seen) == 1


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


@pytest.mark.parametrize("broken", ["weights", "action"])
def test_a_choice_that_is_not_finite_stops_its_run_alone(broken: str) -> None:
    class Rule(Acquisition):
        def noise_shape(self, dim: int) -> tuple[int, ...]:
            return (dim,)

        def propose(self, context: AcquisitionContext) -> Tensor:
            weights = context.noise.clone()
            if broken == "weights":
                weights[context.observation[:, 0] > 0.9] = float("nan")
            return weights

    class Model(LinearBFM):
        def act(self, observation: Tensor, z: Tensor) -> Tensor:
            action = super().act(observation, z).clone()
            return action.masked_fill(observation[:, :1] > 0.9, float("inf")) if broken == "action" else action

    agent = TaskInferenceAgent(RidgePosterior(), Rule())
    agent.start(Model(), [5, 6])
    action = agent.act(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]]))
    assert list(agent.failures) == [0]
    assert (action[0] == 0).all()
    assert action[1].norm() > 0.9
    assert agent.state["z"].isfinite().all()


def test_needs_to_be_started() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    with pytest.raises(RuntimeError, match="start"):
        agent.act(torch.zeros(4))


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
    agent = TaskInferenceAgent(posterior, GreedyAcquisition(), Telling())
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


def test_two_hundred_and_fifty_six_runs_are_as_many_single_ones() -> None:
    seeds = list(range(256))
    tasks = [f"task_{seed % 4}" for seed in seeds]
    many, environment = TestTaskInferenceAgent().make(), BallEnvironment(tasks=tasks)
    many.start(LinearBFM(), seeds)
    environment.seed(seeds)
    together = run_episode(many, environment).returns
    for seed in (0, 97, 255):
        one, alone = TestTaskInferenceAgent().make(), BallEnvironment(tasks=[tasks[seed]])
        one.start(LinearBFM(), [seed])
        alone.seed([seed])
        torch.testing.assert_close(run_episode(one, alone).returns, together[seed : seed + 1], rtol=1e-5, atol=1e-5)


def test_a_state_of_another_model_is_refused() -> None:
    agent = TestTaskInferenceAgent().make()
    agent.start(LinearBFM(dim=5), [1])
    saved = agent.state_dict()
    agent.start(LinearBFM(), [1])
    before = agent.state.clone()
    with pytest.raises(ValueError, match="has shape"):
        agent.load_state_dict(saved)
    assert (agent.state == before).all()
