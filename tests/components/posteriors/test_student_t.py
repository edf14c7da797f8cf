from __future__ import annotations

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.student_t import StudentTPosterior
from bfmkit.testing.posterior import PosteriorContract

YES = torch.ones(1, dtype=torch.bool)


class TestStudentTPosterior(PosteriorContract):
    order_matters = True

    def make(self) -> StudentTPosterior:
        return StudentTPosterior(degrees_of_freedom=3.0, noise_std=0.1)

    def draw_rewards(self, expected: Tensor, noise: Tensor) -> Tensor:
        heavy = stats.t.ppf(stats.norm.cdf(noise.numpy()), df=3.0)
        return expected + 0.1 * torch.from_numpy(heavy)


class TestDiscountedStudentTPosterior(TestStudentTPosterior):
    forgets = True

    def make(self) -> StudentTPosterior:
        return StudentTPosterior(degrees_of_freedom=3.0, noise_std=0.1, discount=0.95)


def one_by_one(posterior, features: Tensor, rewards: Tensor):  # type: ignore[no-untyped-def]
    belief = posterior.prior(1, features.shape[-1])
    for step in range(features.shape[1]):
        belief = posterior.update(belief, features[:, step], rewards[:, step], YES)
    return belief


def lines(count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, count, 2, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    return features, features @ weights + 0.1 * torch.randn(1, count, generator=generator, dtype=torch.float64), weights


@pytest.mark.parametrize("learn", [one_by_one, lambda p, x, r: p.condition_on(p.prior(1, 2), x, r)])
def test_rare_large_outliers_do_not_move_it(learn) -> None:  # type: ignore[no-untyped-def]
    features, rewards, weights = lines()
    rewards[:, 10::10] += 30.0
    robust = StudentTPosterior(degrees_of_freedom=3.0, noise_std=0.1)
    normal = BayesianPosterior(noise_std=0.1)
    assert (robust.mean(learn(robust, features, rewards)) - weights).abs().max() < 0.1
    assert (normal.mean(learn(normal, features, rewards)) - weights).abs().max() > 0.5


def test_with_many_degrees_of_freedom_it_is_the_normal_posterior() -> None:
    features, rewards, _ = lines()
    nearly, normal = StudentTPosterior(1e12, noise_std=0.1), BayesianPosterior(noise_std=0.1)
    there, here = one_by_one(nearly, features, rewards), one_by_one(normal, features, rewards)
    for key in ("mean", "precision"):
        torch.testing.assert_close(there[key], here[key], rtol=1e-8, atol=1e-8)
    x = features[:, 0]
    torch.testing.assert_close(nearly.information_gain(there, x), normal.information_gain(here, x))


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_weight_of_a_reward_is_the_fixed_point(discount: float) -> None:
    features, rewards, _ = lines(6)
    posterior = StudentTPosterior(degrees_of_freedom=5.0, noise_std=0.3, discount=discount)
    belief = one_by_one(posterior, features, rewards)
    x, reward = torch.tensor([[0.5, 1.5]], dtype=torch.float64), torch.tensor([-2.0], dtype=torch.float64)
    after = posterior.update(belief, x, reward, YES)
    squared = (reward - posterior.predictive_mean(after, x)) ** 2 + posterior.std(after, x) ** 2
    weight = float(6.0 / (5.0 + squared / 0.09))
    expected = discount * belief["precision"][0] + weight * torch.outer(x[0], x[0]) / 0.09
    torch.testing.assert_close(after["precision"][0], expected, rtol=1e-6, atol=1e-6)


def test_mean_is_near_that_of_the_exact_posterior() -> None:
    features = torch.ones(1, 8, 1, dtype=torch.float64)
    rewards = torch.tensor([[0.9, 1.0, 1.1, 1.05, 0.95, 1.02, 6.0, -3.0]], dtype=torch.float64)
    posterior = StudentTPosterior(degrees_of_freedom=4.0, noise_std=0.1)
    mean = float(posterior.mean(posterior.condition_on(posterior.prior(1, 1), features, rewards)))

    def density(weight: float) -> float:
        likelihood = stats.t.pdf((rewards[0].numpy() - weight) / 0.1, df=4.0).prod() * 1e6
        return float(stats.norm.pdf(weight) * likelihood)

    total = integrate.quad(density, 0.5, 1.5, points=[1.0])[0]
    exact = integrate.quad(lambda weight: weight * density(weight), 0.5, 1.5, points=[1.0])[0] / total
    assert mean == pytest.approx(exact, abs=0.01)
    normal = BayesianPosterior(noise_std=0.1)
    assert abs(float(normal.mean(normal.condition_on(normal.prior(1, 1), features, rewards))) - exact) > 0.05


@pytest.mark.parametrize("argument", ["degrees_of_freedom", "noise_std", "prior_std"])
def test_numbers_that_are_not_positive_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=argument):
        StudentTPosterior(**{argument: 0.0})
