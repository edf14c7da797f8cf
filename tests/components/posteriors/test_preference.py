from __future__ import annotations

import numpy as np
import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.preference import PreferencePosterior
from bfmkit.testing.models import LinearBFM
from bfmkit.testing.posterior import PosteriorContract


class TestPreferencePosterior(PosteriorContract):
    def make(self) -> PreferencePosterior:
        return PreferencePosterior()


def acted(steps: int) -> tuple[TaskInferenceAgent, torch.Tensor]:
    agent = TaskInferenceAgent(PreferencePosterior(slope=1.0), GreedyAcquisition(), label_memory=20)
    agent.start(LinearBFM(), [0])
    agent.begin_episode()
    places = torch.randn(steps, 4, generator=torch.Generator().manual_seed(2)) / 4
    for place in places:
        agent.observe(place, place, place, 0.0, torch.tensor([False]))
    return agent, places.double()


def test_a_comparison_is_about_the_difference_of_summed_features() -> None:
    agent, seen = acted(12)
    agent.label(1.0, (0, 4), than=(4, 12))
    agent.label(-1.0, (2, 5), than=(8, 9))
    differences = torch.stack([seen[8:].sum(0) - seen[:8].sum(0), seen[7:10].sum(0) - seen[3]])
    rewards = torch.tensor([1.0, -1.0])
    posterior = agent.posterior
    expected = posterior.condition_on(posterior.prior(1, 4), differences[None], rewards[None])
    torch.testing.assert_close(agent.belief["mean"], expected["mean"], rtol=1e-6, atol=1e-7)
    with pytest.raises(ValueError, match="compares two stretches: give `than`"):
        agent.label(1.0, 3)


def test_one_weight_is_that_of_numerical_integration() -> None:
    posterior = PreferencePosterior(slope=0.5, prior_std=1.0)
    differences = np.array([[2.0], [-1.0], [3.0], [0.5]])
    rewards = np.array([1.0, -1.0, 1.0, -1.0])
    grid = np.linspace(-6, 6, 4001)[:, None]
    chance = 1 / (1 + np.exp(-0.5 * grid @ differences.T))  # that the first clip is the better
    density = np.exp(-(grid[:, 0] ** 2) / 2) * np.where(rewards > 0, chance, 1 - chance).prod(-1)
    density /= density.sum()
    mean = density @ grid
    covariance = (grid - mean).T @ ((grid - mean) * density[:, None])
    belief = posterior.condition_on(posterior.prior(1, 1), torch.tensor(differences)[None], torch.tensor(rewards)[None])
    assert float(belief["mean"]) == pytest.approx(mean[0], abs=0.08)
    assert float(posterior.std(belief, torch.ones(1, 1))) == pytest.approx(covariance[0, 0] ** 0.5, rel=0.06)


def test_rewards_are_no_comparisons() -> None:
    agent, _ = acted(3)
    place = torch.zeros(1, 4)
    agent.observe(place, place, place, 0.3)
    assert agent.state["labels"].tolist() == [0] and not agent.belief["mean"].any()
