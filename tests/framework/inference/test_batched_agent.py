from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.episode import EpisodeSchedule
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import (
    Acquisition,
    AcquisitionContext,
    Schedule,
    ScheduleState,
)
from bfmkit.models.folder import load_model, resolve
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.utils.rng import normal_noise


def explorer() -> TaskInferenceAgent:
    return TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=32)))


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


def test_two_hundred_and_fifty_six_runs_are_as_many_single_ones() -> None:
    seeds = list(range(256))
    tasks = [f"task_{seed % 4}" for seed in seeds]
    many, environment = explorer(), BallEnvironment(tasks=tasks)
    many.start(LinearBFM(), seeds)
    environment.seed(seeds)
    together = run_episode(many, environment).returns
    for seed in (0, 97, 255):
        one, alone = explorer(), BallEnvironment(tasks=[tasks[seed]])
        one.start(LinearBFM(), [seed])
        alone.seed([seed])
        torch.testing.assert_close(run_episode(one, alone).returns, together[seed : seed + 1], rtol=1e-5, atol=1e-5)


def test_a_state_of_another_model_is_refused() -> None:
    agent = explorer()
    agent.start(LinearBFM(dim=5), [1])
    saved = agent.state_dict()
    agent.start(LinearBFM(), [1])
    before = agent.state.clone()
    with pytest.raises(ValueError, match="has shape"):
        agent.load_state_dict(saved)
    assert (agent.state == before).all()


def test_an_observation_of_another_size_is_told_what_the_model_reads() -> None:
    agent = FixedWeightsAgent(torch.ones(24))
    agent.start(load_model(resolve("zoo:walker")), [0])
    agent.begin_episode()
    with pytest.raises(ValueError, match=r"\(1, 28\), got \(24,\); .*, angular_momentum$"):
        agent.act(torch.zeros(24))
    with pytest.raises(ValueError, match=r"^action must be \(1, 6\), got \(5,\)$"):
        agent.observe(torch.zeros(28), torch.zeros(5), torch.zeros(28), 1.0)
