from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.standardized import StandardizedPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import Posterior, StepResult
from bfmkit.runs.explanation import explain
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.recording import record_of
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.posterior import PosteriorContract


class TestStandardizedPosterior(PosteriorContract):
    def make(self) -> StandardizedPosterior:
        return StandardizedPosterior(RidgePosterior(0.5))


class TestDiscountedStandardizedPosterior(PosteriorContract):
    forgets = True

    def make(self) -> StandardizedPosterior:
        return StandardizedPosterior(RidgePosterior(0.5, discount=0.95))


INSIDE = [
    RidgePosterior(0.3),
    RidgePosterior(0.3, discount=0.9),
    BayesianPosterior(0.2, 0.7, discount=0.95),
    SlidingWindowPosterior(7),
]


def drawn(count: int = 30) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
    reward = torch.randn(2, count, generator=generator, dtype=torch.float64) + features.sum(-1)
    return features, reward, torch.rand(2, count, generator=generator) < 0.7


@pytest.mark.parametrize("inside", INSIDE, ids=lambda each: type(each).__name__)
def test_it_is_the_posterior_inside_on_rewards_standardized_by_hand(inside: Posterior) -> None:
    features, reward, observed = drawn()
    posterior = StandardizedPosterior(inside)
    belief = posterior.update_batch(posterior.prior(2, 3), features, 5.0 * reward - 16.0, observed)
    for run in range(2):
        known = reward[run][observed[run]]
        scaled = (reward[run] - known.mean()) / known.std(correction=0)
        rows = slice(run, run + 1)
        # With an intercept beside the weights.
        beside = torch.nn.functional.pad(features[rows], (1, 0), value=1.0)
        there = inside.update_batch(inside.prior(1, 4), beside, scaled[None], observed[rows])
        torch.testing.assert_close(posterior.mean(belief)[rows], inside.mean(there)[:, 1:])
        alone = torch.nn.functional.pad(features[rows], (1, 0))
        torch.testing.assert_close(posterior.std(belief, features)[rows], inside.std(there, alone))
        expected = 5.0 * (known.std(correction=0) * inside.predictive_mean(there, beside) + known.mean()) - 16.0
        torch.testing.assert_close(posterior.predictive_mean(belief, features)[rows], expected)


@pytest.mark.parametrize(("scale", "offset"), [(16.0, -16.0), (1e-3, 7.0), (1.0, 1e6)])
def test_beliefs_do_not_depend_on_scale_and_offset(scale: float, offset: float) -> None:
    features, reward, observed = drawn()
    posterior = StandardizedPosterior(RidgePosterior())
    for step in (1, 2, 30):
        parts = features[:, :step], observed[:, :step]
        plain, other = (
            posterior.update_batch(posterior.prior(2, 3), parts[0], each[:, :step], parts[1])
            for each in (reward, scale * reward + offset)
        )
        torch.testing.assert_close(posterior.mean(other), posterior.mean(plain), rtol=1e-6, atol=1e-6)


def test_rewards_that_are_all_the_same_say_nothing() -> None:
    features, _, observed = drawn()
    posterior = StandardizedPosterior(RidgePosterior())
    belief = posterior.update_batch(posterior.prior(2, 3), features, torch.full((2, 30), -0.1), observed)
    assert (posterior.mean(belief) == 0).all()
    torch.testing.assert_close(posterior.predictive_mean(belief, features), torch.full((2, 30), -0.1).double())


def test_a_weighted_late_label_counts_as_so_many() -> None:
    features, reward, observed = drawn()
    posterior = StandardizedPosterior(RidgePosterior())
    belief = posterior.update_batch(posterior.prior(2, 3), features, reward, observed)
    once = posterior.label(belief, features[:, 0], reward[:, 0], weight=2.0)
    twice = posterior.condition_on(belief, features[:, [0, 0]], reward[:, [0, 0]])
    torch.testing.assert_close(posterior.mean(once), posterior.mean(twice))
    torch.testing.assert_close(posterior.std(once, features), posterior.std(twice, features))


class Affine(BallEnvironment):
    """The same task, its reward mapped to a·r + b."""

    scale, offset = 1.0, 0.0

    def with_tasks(self, tasks: list) -> Affine:
        made = Affine(tasks=tasks)
        made.scale, made.offset = self.scale, self.offset
        return made

    def step_batch(self, action: Tensor) -> StepResult:
        outcome = super().step_batch(action)
        return outcome._replace(reward=self.scale * outcome.reward + self.offset)


def choices(posterior: Posterior, scale: float, offset: float) -> tuple[Tensor, TaskInferenceAgent]:
    """The z of every step of two episodes of two runs."""
    world = Affine(tasks=["task_0", "task_2"])
    world.scale, world.offset = scale, offset
    agent = TaskInferenceAgent(posterior, UCBAcquisition(EllipsoidCandidates(count=16), 0.5))
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [3, 4])
    rows = world.with_tasks(["task_0", "task_2"])
    rows.seed([3, 4])
    latents: list[Tensor] = []
    for _ in range(2):
        run_episode(agent, rows, lambda step: latents.append(step.z.clone()))
    return torch.stack(latents), agent


@pytest.mark.parametrize(("scale", "offset"), [(0.0625, 3.0), (16.0, -16.0)])
def test_the_same_run_with_another_scale_and_offset_makes_the_same_choices(scale: float, offset: float) -> None:
    plain, _ = choices(StandardizedPosterior(RidgePosterior()), 1.0, 0.0)
    other, agent = choices(StandardizedPosterior(RidgePosterior()), scale, offset)
    torch.testing.assert_close(other, plain, rtol=1e-3, atol=1e-3)
    without = [choices(RidgePosterior(), *numbers)[0] for numbers in ((1.0, 0.0), (scale, offset))]
    assert not torch.allclose(*without, rtol=1e-1, atol=1e-1)
    # What was chosen can be worked out again, from the rewards as they came.
    for run in range(2):
        assert replay(record_of(agent, run), Parts(LinearBFM(), agent.posterior, agent.acquisition)).same


def test_an_explanation_speaks_of_rewards_as_they_came() -> None:
    _, agent = choices(StandardizedPosterior(RidgePosterior()), 16.0, -16.0)
    found = explain(record_of(agent, 1), LinearBFM(), Affine())
    transitions = LinearBFM().inference_set()
    keys = ("observation", "action", ("next", "observation"))
    features = LinearBFM().features(*(transitions[key] for key in keys)).double()
    expected = agent.posterior.predictive_mean(agent.belief[1:2], features[None])[0]
    torch.testing.assert_close(torch.from_numpy(found.believed), expected)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (8.0, -8.0)])
def test_it_finds_the_task_on_any_scale(scale: float, offset: float) -> None:
    world = Affine(tasks=[f"task_{row}" for row in range(4)])
    world.scale, world.offset = scale, offset
    rows = world.with_tasks(world.tasks)
    rows.seed(range(4))
    reached = []
    for posterior in (StandardizedPosterior(RidgePosterior()), RidgePosterior()):
        agent = TaskInferenceAgent(posterior, UCBAcquisition(EllipsoidCandidates(count=16), 1.0))
        agent.start(LinearBFM(), range(4))
        returns = [run_episode(agent, rows).returns / 20 for _ in range(3)]
        reached.append(float((returns[-1] - offset).mean() / scale))
    assert reached[0] > 0.9
    # Without it, rewards from -16 to 0 are not learnt.
    assert scale == 1.0 or reached[1] < 0.6


def test_posteriors_that_are_not_linear_in_the_rewards_are_refused() -> None:
    with pytest.raises(ValueError, match="linear in the rewards"):
        StandardizedPosterior(NormalInverseGammaPosterior())
    with pytest.raises(ValueError, match="linear in the rewards"):
        StandardizedPosterior(WeightedRidgePosterior(discount=0.9))
