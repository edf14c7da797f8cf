from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract

GOLDEN = Path(__file__).parents[2] / "golden"
YES = torch.ones(1, dtype=torch.bool)


class TestRidgePosterior(LinearGaussianPosteriorContract):
    def make(self) -> RidgePosterior:
        return RidgePosterior(regularization=0.5)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        gram = features.mT @ features + 0.5 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(gram, features.mT @ rewards)


class TestDiscountedRidgePosterior(LinearGaussianPosteriorContract):
    forgets = True

    def make(self) -> RidgePosterior:
        return RidgePosterior(regularization=2.0, discount=0.9)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        count, dim = features.shape
        weight = 0.9 ** torch.arange(count - 1, -1, -1, dtype=torch.float64)
        gram = (features * weight.unsqueeze(-1)).mT @ features
        prior = 2.0 * 0.9**count * torch.eye(dim, dtype=torch.float64)
        return torch.linalg.solve(gram + prior, features.mT @ (weight * rewards))


def near(value: Tensor, expected: Tensor) -> None:
    """Within 1e-8 of the largest entry."""
    scale = max(float(expected.abs().max()), 1e-300)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize("name", ["ridge_d3", "ridge_d50", "discounted_d50", "lambda_d8"])
def test_reproduces_the_reference_numbers(name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / f"{name}.npz").items()}
    posterior = RidgePosterior(float(golden["lam"]), float(golden["decay"]))
    belief = posterior.prior(1, golden["features"].shape[-1])
    checkpoints = golden["checkpoints"].tolist()
    for count in range(len(golden["features"]) + 1):
        if count > 0:
            pair = golden["features"][count - 1].unsqueeze(0), golden["rewards"][count - 1].unsqueeze(0)
            belief = posterior.update(belief, *pair, YES)
        if count in checkpoints:
            at = checkpoints.index(count)
            near(posterior.mean(belief)[0], golden["ridge_mean"][at])
            near(posterior.log_determinant(belief)[0], golden["ridge_logdet_precision"][at])
            near(posterior.std(belief, golden["probe"].unsqueeze(0))[0] ** 2, golden["ridge_probe_width_squared"][at])
            bound = posterior.ucb(belief, golden["psi"].unsqueeze(0), float(golden["beta"]))[0].amin(-1)
            near(bound, golden["ucb_pessimistic"][at])
            assert bound.argmax() == golden["ucb_argmax"][at]
    assert count == checkpoints[-1]
    near(belief["precision"][0], golden["precision"])
    noise = 2.0 * golden["beta"] * golden["ball_noise"]
    near(posterior.from_base_samples(belief, noise.unsqueeze(0))[0], golden["candidates"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8))
def test_the_order_of_rewards_does_not_matter(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(count, generator=generator, dtype=torch.float64)
    posterior = RidgePosterior(0.1)
    means = []
    for order in (range(count), range(count - 1, -1, -1)):
        belief = posterior.prior(1, 3)
        for index in order:
            belief = posterior.update(belief, features[index : index + 1], rewards[index : index + 1], YES)
        means.append(posterior.mean(belief))
    torch.testing.assert_close(*means, rtol=1e-8, atol=1e-8)


def test_samples_lie_in_the_ellipsoid_they_are_drawn_from() -> None:
    posterior = RidgePosterior()
    generator = torch.Generator().manual_seed(0)
    belief = posterior.condition_on(
        posterior.prior(1, 4),
        torch.randn(1, 9, 4, generator=generator, dtype=torch.float64) * torch.tensor([10.0, 1.0, 0.1, 0.01]),
        torch.randn(1, 9, generator=generator, dtype=torch.float64),
    )
    sphere = torch.nn.functional.normalize(torch.randn(1, 50, 4, generator=generator, dtype=torch.float64), dim=-1)
    offset = posterior.from_base_samples(belief, 0.3 * sphere) - posterior.mean(belief).unsqueeze(1)
    distance = (offset @ belief["precision"] * offset).sum(-1).sqrt()
    torch.testing.assert_close(distance, torch.full_like(distance, 0.3))


def test_information_gain_is_the_growth_of_the_log_determinant() -> None:
    posterior = RidgePosterior(0.7)
    features = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    belief = posterior.prior(1, 3)
    after = posterior.update(belief, features, torch.zeros(1), YES)
    growth = posterior.log_determinant(after) - posterior.log_determinant(belief)
    torch.testing.assert_close(posterior.information_gain(belief, features), growth)


def test_lost_definiteness_is_mended_with_a_warning() -> None:
    posterior = RidgePosterior(1e-300, discount=0.5)
    belief = posterior.prior(2, 2)
    features = torch.tensor([[1e8, 1e8], [1.0, 0.0]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="not positive definite"):
        belief = posterior.update(belief, features, torch.ones(2), torch.ones(2, dtype=torch.bool))
    assert posterior.mean(belief).isfinite().all()


def test_refuses_what_makes_no_sense() -> None:
    for arguments in ({"regularization": 0.0}, {"regularization": -1.0}, {"regularization": float("nan")}):
        with pytest.raises(ValueError, match="regularization"):
            RidgePosterior(**arguments)
    for discount in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="discount"):
            RidgePosterior(discount=discount)
