from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract

GOLDEN = Path(__file__).parents[2] / "golden"
YES = torch.ones(1, dtype=torch.bool)


class TestBayesianPosterior(LinearGaussianPosteriorContract):
    def make(self) -> BayesianPosterior:
        return BayesianPosterior(noise_std=0.5, prior_std=2.0)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        precision = features.mT @ features / 0.25 + 0.25 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(precision, features.mT @ rewards / 0.25)


class TestDiscountedBayesianPosterior(LinearGaussianPosteriorContract):
    forgets = True

    def make(self) -> BayesianPosterior:
        return BayesianPosterior(noise_std=2.0, prior_std=0.5, discount=0.8)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        count, dim = features.shape
        weight = 0.8 ** torch.arange(count - 1, -1, -1, dtype=torch.float64) / 4.0
        prior = 4.0 * 0.8**count * torch.eye(dim, dtype=torch.float64)
        return torch.linalg.solve(
            (features * weight.unsqueeze(-1)).mT @ features + prior, features.mT @ (weight * rewards)
        )


def near(value: Tensor, expected: Tensor) -> None:
    """Within 1e-8 of the largest entry."""
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-8 * max(float(expected.abs().max()), 1e-300))


@pytest.mark.parametrize("name", ["ridge_d3", "ridge_d50", "discounted_d50", "lambda_d8"])
def test_reproduces_the_reference_numbers(name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / f"{name}.npz").items()}
    posterior = BayesianPosterior(float(golden["sigma"]), 1.0, float(golden["decay"]))
    belief = posterior.prior(1, golden["features"].shape[-1])
    checkpoints = golden["checkpoints"].tolist()
    for count in range(len(golden["features"]) + 1):
        if count > 0:
            pair = golden["features"][count - 1].unsqueeze(0), golden["rewards"][count - 1].unsqueeze(0)
            belief = posterior.update(belief, *pair, YES)
        if count in checkpoints:
            at = checkpoints.index(count)
            near(posterior.mean(belief)[0], golden["bayes_mean"][at])
            near(posterior.sample(belief, golden["normal_noise"].unsqueeze(0))[0], golden["bayes_sample"][at])
    assert count == checkpoints[-1]


def test_is_ridge_regression_in_units_of_the_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64)
    rewards = torch.randn(2, 30, generator=generator, dtype=torch.float64)
    bayesian, ridge = BayesianPosterior(0.1, prior_std=2.0), RidgePosterior(0.01 / 4.0)
    ours = bayesian.condition_on(bayesian.prior(2, 4), features, rewards)
    theirs = ridge.condition_on(ridge.prior(2, 4), features, rewards)
    torch.testing.assert_close(bayesian.mean(ours), ridge.mean(theirs))
    torch.testing.assert_close(bayesian.std(ours, features), 0.1 * ridge.std(theirs, features))
    torch.testing.assert_close(bayesian.information_gain(ours, features), ridge.information_gain(theirs, features))


def test_information_gain_is_the_growth_of_the_log_determinant() -> None:
    posterior = BayesianPosterior(0.3, 2.0)
    features = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    belief = posterior.prior(1, 3)
    updated = posterior.update(belief, features, torch.zeros(1), YES)
    growth = posterior.log_determinant(updated) - posterior.log_determinant(belief)
    torch.testing.assert_close(posterior.information_gain(belief, features), growth)


def test_one_weight_by_hand() -> None:
    posterior = BayesianPosterior(noise_std=0.5, prior_std=2.0)
    belief = posterior.update(posterior.prior(1, 1), torch.tensor([[3.0]]), torch.tensor([6.0]), YES)
    # Precision 1/4 + 9·4, response 3·6·4.
    torch.testing.assert_close(posterior.mean(belief), torch.tensor([[72.0 / 36.25]], dtype=torch.float64))
    torch.testing.assert_close(
        posterior.std(belief, torch.tensor([[2.0]])), torch.tensor([2.0 / 36.25**0.5], dtype=torch.float64)
    )


def test_refuses_what_makes_no_sense() -> None:
    for name in ("noise_std", "prior_std"):
        for value in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=name):
                BayesianPosterior(**{name: value})
    with pytest.raises(ValueError, match="discount"):
        BayesianPosterior(discount=0.0)
