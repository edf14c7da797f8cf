from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract


class TestSlidingWindowPosterior(LinearGaussianPosteriorContract):
    forgets = True

    def make(self) -> SlidingWindowPosterior:
        return SlidingWindowPosterior(steps=7, regularization=0.5)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        features, rewards = features[-7:], rewards[-7:]
        gram = features.mT @ features + 0.5 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(gram, features.mT @ rewards)

    def test_what_leaves_the_window_leaves_nothing_behind(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        ours = self.learnt(posterior, features, rewards)
        wild = self.learnt(posterior, torch.cat([1e3 * features[:, :5], features[:, 5:]], 1), rewards)
        assert torch.equal(ours["precision"], wild["precision"])
        assert torch.equal(ours["mean"], wild["mean"])


class TestWideSlidingWindowPosterior(LinearGaussianPosteriorContract):
    def make(self) -> SlidingWindowPosterior:
        return SlidingWindowPosterior(steps=50, regularization=0.5)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        gram = features.mT @ features + 0.5 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(gram, features.mT @ rewards)


def test_steps_without_a_reward_push_rewards_out_of_the_window() -> None:
    posterior, ridge = SlidingWindowPosterior(steps=3), RidgePosterior()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64)
    rewards = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    known = torch.tensor([[1, 1, 1, 1, 0, 1], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    belief = posterior.prior(2, 2)
    for step in range(6):
        belief = posterior.update(belief, features[:, step], rewards[:, step], known[:, step])
    expected = ridge.condition_on(ridge.prior(1, 2), features[:1, [3, 5]], rewards[:1, [3, 5]])
    torch.testing.assert_close(belief["precision"][:1], expected["precision"])
    torch.testing.assert_close(belief["mean"][:1], expected["mean"])
    assert torch.equal(belief["precision"][1], torch.eye(2, dtype=torch.float64))
    assert torch.equal(belief["mean"][1], torch.zeros(2, dtype=torch.float64))


def test_labels_taken_in_at_once_stay() -> None:
    posterior, ridge = SlidingWindowPosterior(steps=2), RidgePosterior()
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(1, 9, generator=generator, dtype=torch.float64)
    belief = posterior.prior(1, 3)
    belief = posterior.update(belief, features[:, 0], rewards[:, 0], torch.ones(1, dtype=torch.bool))
    belief = posterior.condition_on(belief, features[:, 1:6], rewards[:, 1:6])
    for step in range(6, 9):
        belief = posterior.update(belief, features[:, step], rewards[:, step], torch.ones(1, dtype=torch.bool))
    kept = [1, 2, 3, 4, 5, 7, 8]
    expected = ridge.condition_on(ridge.prior(1, 3), features[:, kept], rewards[:, kept])
    torch.testing.assert_close(belief["precision"], expected["precision"])
    torch.testing.assert_close(belief["mean"], expected["mean"])


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="steps"):
        SlidingWindowPosterior(steps=0)
    for value in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="regularization"):
            SlidingWindowPosterior(regularization=value)
