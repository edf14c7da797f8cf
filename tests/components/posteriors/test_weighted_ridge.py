from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract

YES = torch.ones(1, dtype=torch.bool)


class TestWeightedRidgePosterior(LinearGaussianPosteriorContract):
    forgets = True

    def make(self) -> WeightedRidgePosterior:
        return WeightedRidgePosterior(regularization=2.0, discount=0.9)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        count, dim = features.shape
        weight = 0.9 ** torch.arange(count - 1, -1, -1, dtype=torch.float64)
        gram = (features * weight.unsqueeze(-1)).mT @ features
        return torch.linalg.solve(gram + 2.0 * torch.eye(dim, dtype=torch.float64), features.mT @ (weight * rewards))

    def test_width_is_that_of_both_matrices(self) -> None:
        features, rewards = self.data()
        posterior = self.make()
        belief = self.learnt(posterior, features, rewards)
        weight = 0.9 ** torch.arange(features.shape[1] - 1, -1, -1, dtype=torch.float64).unsqueeze(-1)
        prior = 2.0 * torch.eye(5, dtype=torch.float64)
        inverse = torch.linalg.inv((features * weight).mT @ features + prior)
        covariance = inverse @ ((features * weight**2).mT @ features + prior) @ inverse
        expected = (features @ covariance * features).sum(-1).sqrt()
        torch.testing.assert_close(posterior.std(belief, features), expected)
        gain = (features @ inverse * features).sum(-1).log1p()
        torch.testing.assert_close(posterior.information_gain(belief, features), gain)

    def test_no_direction_gets_wider_than_before_any_reward(self) -> None:
        posterior = self.make()
        belief = posterior.prior(1, 2)
        for _ in range(250):
            belief = posterior.update(belief, torch.tensor([[1.0, 0.0]]), torch.ones(1), YES)
        # V is 2 + 1/(1 − 0.9) along the feature, U is 2 + 1/(1 − 0.81).
        expected = torch.tensor([[(2 + 1 / 0.19) ** 0.5 / 12.0, 2.0**-0.5]], dtype=torch.float64)
        torch.testing.assert_close(posterior.std(belief, torch.eye(2).unsqueeze(0)), expected)


def test_without_a_discount_it_is_ridge() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 6, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    means, stds = [], []
    for posterior in (WeightedRidgePosterior(2.0, discount=1.0), RidgePosterior(2.0)):
        belief = posterior.update_batch(posterior.prior(1, 3), features, rewards, torch.ones(1, 6, dtype=torch.bool))
        means.append(posterior.mean(belief))
        stds.append(posterior.std(belief, features))
    torch.testing.assert_close(*means)
    torch.testing.assert_close(*stds)


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="regularization"):
        WeightedRidgePosterior(regularization=0.0)
    with pytest.raises(ValueError, match="discount"):
        WeightedRidgePosterior(discount=1.5)
