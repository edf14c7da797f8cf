from __future__ import annotations

import logging

import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.standardized import StandardizedPosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.calibration import Calibration, blank, calibrations, counted
from bfmkit.inference.episode import run_episode
from bfmkit.inference.task_belief import predict
from bfmkit.interfaces import Posterior
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.posteriors import KnownPosterior


def test_counts_by_hand() -> None:
    posterior = KnownPosterior(torch.tensor([1.0, 0.0]), 0.5 * torch.eye(2))
    belief = posterior.prior(2, 2)
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    sums = blank(2)
    # Widths 1 and 0.5; residuals 0.5 and 0.75, then 2.5 and -1.25, of the first run alone.
    rewards = torch.tensor([[2.5, 4.5], [0.75, -9.0]]).double()
    observed = torch.tensor([[True, True], [True, False]])
    features = features.unsqueeze(1).expand(2, 2, 2)
    both, second = torch.arange(2), torch.tensor([1])
    steps = [predict(posterior, belief, features[:, at], rewards[:, at], observed[:, at]) for at in ([0], [1])]
    sums = counted(sums, [(both, steps[0]), (both, steps[1])])
    assert torch.equal(sums, counted(counted(blank(2), [(both, steps[0])]), [(both, steps[1])]))
    assert torch.equal(sums, counted(blank(2), [(both, predict(posterior, belief, features, rewards, observed))]))
    alone = predict(posterior, belief[1:], features[1:], rewards[1:], observed[1:])
    assert torch.equal(sums[1], counted(blank(2), [(second, alone)])[1])
    assert sums.tolist() == [[2.0, 1.0, 1.0, 26.5, 7.0], [1.0, 0.0, 1.0, 0.5625, 0.75]]
    first, second = (Calibration.of(row) for row in sums)
    assert first == Calibration(2, 0.5, 0.5, 3.5, 1.0)
    assert second == Calibration(1, 0.0, 1.0, 0.75, 0.0)
    assert Calibration.of(sums) == Calibration(
        3, 1 / 3, 2 / 3, 7.75 / 3, pytest.approx((27.0625 / 3 - (7.75 / 3) ** 2) ** 0.5)
    )
    assert Calibration.of(blank(1)) == Calibration(0, None, None, None, None)
    assert Calibration.of(blank(1)).words() == "no reward yet"
    assert first.words() == "0.50 of 2 rewards within two of the belief's standard deviations (0.95 expected)"


def test_what_was_not_observed_may_be_anything() -> None:
    posterior = KnownPosterior()
    nothing = torch.tensor([[False]])
    features, reward = torch.full((1, 1, 3), float("nan")), torch.tensor([[float("nan")]]).double()
    assert (
        counted(blank(1), [(torch.arange(1), predict(posterior, posterior.prior(1, 3), features, reward, nothing))])
        == 0
    ).all()


@pytest.mark.parametrize(
    "posterior", [BayesianPosterior(noise_std=0.5, prior_std=2.0), NormalInverseGammaPosterior(rate=0.25)]
)
def test_a_belief_that_is_right_is_calibrated(posterior: Posterior) -> None:
    """Weights from the prior, and noise as the posterior has it, over 500 runs."""
    generator = torch.Generator().manual_seed(0)
    runs, dim, steps = 500, 3, 40
    weights = 2.0 * torch.randn(runs, dim, generator=generator, dtype=torch.float64)
    if isinstance(posterior, NormalInverseGammaPosterior):
        weights = weights * 0.25
    belief, sums = posterior.prior(runs, dim), blank(runs)
    everyone = torch.ones(runs, dtype=torch.bool)
    for _ in range(steps):
        features = torch.randn(runs, dim, generator=generator, dtype=torch.float64)
        reward = (features * weights).sum(-1) + 0.5 * torch.randn(runs, generator=generator, dtype=torch.float64)
        seen = features.unsqueeze(1), reward.unsqueeze(1), everyone.unsqueeze(1)
        sums = counted(sums, [(torch.arange(runs), predict(posterior, belief, *seen))])
        belief = posterior.update(belief, features, reward, everyone)
    found = Calibration.of(sums)
    assert found.rewards == runs * steps
    assert found.within_one == pytest.approx(0.683, abs=0.03)
    assert found.within_two == pytest.approx(0.954, abs=0.02)
    assert not found.is_overconfident


class Noisy(BallEnvironment):
    """Half of the reward is a function of time that no features express."""

    size = 0.4

    def step_batch(self, action):
        outcome = super().step_batch(action)
        return outcome._replace(reward=outcome.reward + self.size * ((max(self.clock.step) * 7919) % 13 - 6.0))


SCALE = ("Rewards here are about", "{type: standardized, posterior: {type: ridge}}")


@pytest.mark.parametrize(
    ("posterior", "size", "words", "not_words"),
    [
        (
            RidgePosterior(),
            0.4,
            ("features express this reward only in part", "{type: two_stage, initial: 5.0"),
            SCALE,
        ),
        (RidgePosterior(), 4.0, SCALE, ("only in part",)),
        (StandardizedPosterior(RidgePosterior()), 4.0, ("only in part",), SCALE),
    ],
)
def test_an_overconfident_posterior_is_told_of_once_with_what_helps(
    caplog: pytest.LogCaptureFixture, posterior: Posterior, size: float, words: tuple, not_words: tuple
) -> None:
    agent = TaskInferenceAgent(posterior, GreedyAcquisition())
    agent.start(LinearBFM(episode_steps=150), [3, 4])
    environment = Noisy(episode_steps=150, tasks=["task_0", "task_1"])
    environment.size = size
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            run_episode(agent, environment)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "the posterior is overconfident in 2 runs, most of all in the run of seed" in said[0]
    assert all(word in said[0] for word in words) and not any(word in said[0] for word in not_words)
    assert all(found.is_overconfident for found in calibrations(agent))
    assert posterior.mean(agent.belief).isfinite().all()


@pytest.mark.parametrize("block", [1, 25])
def test_a_run_of_one_episode_is_told_at_its_end(block: int, caplog: pytest.LogCaptureFixture) -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition(), EverySchedule(block), update_every=block)
    agent.start(LinearBFM(episode_steps=300), [3])
    with caplog.at_level(logging.WARNING):
        run_episode(agent, Noisy(episode_steps=300))
    assert [record.getMessage()[:39] for record in caplog.records] == ["the posterior is overconfident in the r"]


def test_rewards_that_the_features_express_are_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(LinearBFM(episode_steps=150), [3])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            run_episode(agent, BallEnvironment(episode_steps=150))
    assert not caplog.records
    (found,) = calibrations(agent)
    assert found.rewards == 450 and found.within_two == 1.0


def test_an_agent_without_a_belief_has_none() -> None:
    agent = RandomAgent()
    agent.start(LinearBFM(), [0])
    assert calibrations(agent) == []
