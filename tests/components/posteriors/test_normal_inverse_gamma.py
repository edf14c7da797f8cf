from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.testing.posterior import LinearGaussianPosteriorContract

YES = torch.ones(1, dtype=torch.bool)


class TestNormalInverseGammaPosterior(LinearGaussianPosteriorContract):
    def make(self) -> NormalInverseGammaPosterior:
        return NormalInverseGammaPosterior(regularization=0.5, shape=20.0, rate=20.0)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        gram = features.mT @ features + 0.5 * torch.eye(features.shape[-1], dtype=torch.float64)
        return torch.linalg.solve(gram, features.mT @ rewards)


class TestDiscountedNormalInverseGammaPosterior(LinearGaussianPosteriorContract):
    forgets = True

    def make(self) -> NormalInverseGammaPosterior:
        return NormalInverseGammaPosterior(regularization=2.0, shape=20.0, rate=20.0, discount=0.9)

    def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
        count, dim = features.shape
        weight = 0.9 ** torch.arange(count - 1, -1, -1, dtype=torch.float64)
        prior = 2.0 * 0.9**count * torch.eye(dim, dtype=torch.float64)
        return torch.linalg.solve(
            (features * weight.unsqueeze(-1)).mT @ features + prior, features.mT @ (weight * rewards)
        )


def drawn(seed: int, count: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, count, dim, generator=generator, dtype=torch.float64)
    return features, torch.randn(1, count, generator=generator, dtype=torch.float64)


def one_by_one(posterior: NormalInverseGammaPosterior, features: Tensor, rewards: Tensor):  # type: ignore[no-untyped-def]
    belief = posterior.prior(1, features.shape[-1])
    for step in range(features.shape[1]):
        belief = posterior.update(belief, features[:, step], rewards[:, step], YES)
    return belief


def test_noise_is_believed_as_the_closed_form_says() -> None:
    features, rewards = drawn(0, 40, 3)
    posterior = NormalInverseGammaPosterior(0.7, shape=2.0, rate=0.3)
    belief = one_by_one(posterior, features, rewards)
    phi, r = features[0], rewards[0]
    precision = phi.mT @ phi + 0.7 * torch.eye(3, dtype=torch.float64)
    mean = torch.linalg.solve(precision, phi.mT @ r)
    rate = 0.3 + 0.5 * (r @ r - mean @ precision @ mean)
    assert belief["shape"].tolist() == [22.0]
    torch.testing.assert_close(belief["rate"], rate.reshape(1))
    width = (rate / 22.0 * (phi[0] @ torch.linalg.solve(precision, phi[0]))).sqrt()
    torch.testing.assert_close(posterior.std(belief, features[:, 0]), width.reshape(1))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8), dim=st.integers(1, 4))
def test_taken_in_at_once_or_one_by_one_is_the_same(seed: int, count: int, dim: int) -> None:
    features, rewards = drawn(seed, count, dim)
    posterior = NormalInverseGammaPosterior(0.1, rate=0.01)
    stepwise = one_by_one(posterior, features, rewards)
    whole = posterior.condition_on(posterior.prior(1, dim), features, rewards)
    for key in ("mean", "precision", "shape", "rate"):
        torch.testing.assert_close(whole[key], stepwise[key], rtol=1e-8, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1e-3, 0.1, 7.0, 1e3]))
def test_larger_rewards_make_everything_larger(seed: int, factor: float) -> None:
    features, rewards = drawn(seed, 6, 3)
    for discount in (1.0, 0.9):
        posterior = NormalInverseGammaPosterior(discount=discount)
        small = one_by_one(posterior, features, rewards)
        large = one_by_one(posterior, features, factor * rewards)
        noise = features[:, :4]
        for value in (
            posterior.mean,
            lambda belief: posterior.std(belief, noise),  # noqa: B023
            lambda belief: posterior.ucb(belief, noise, 2.0),  # noqa: B023
            lambda belief: posterior.from_base_samples(belief, noise),  # noqa: B023
            lambda belief: posterior.sample(belief, noise),  # noqa: B023
        ):
            torch.testing.assert_close(value(large), factor * value(small), rtol=1e-6, atol=1e-12 * factor)
        torch.testing.assert_close(posterior.information_gain(large, noise), posterior.information_gain(small, noise))


def test_what_is_known_about_the_noise_fades_to_what_it_was() -> None:
    posterior = NormalInverseGammaPosterior(shape=1.5, rate=0.1, discount=0.5)
    features, rewards = drawn(1, 30, 2)
    belief = one_by_one(posterior, features, rewards)
    # 1.5 forgotten down to its floor, and then ½ for each reward: the fixed point of α ← ½α + ½ is below it.
    assert belief["shape"].tolist() == [2.0]
    size = belief["rate"] / belief["shape"]
    for _ in range(50):
        belief = posterior.update(belief, features[:, 0], rewards[:, 0], ~YES)
    assert belief["shape"].tolist() == [1.5]
    torch.testing.assert_close(belief["rate"] / belief["shape"], size)


def test_one_weight_is_drawn_from_students_distribution() -> None:
    posterior = NormalInverseGammaPosterior(0.5, shape=1.5, rate=2.0)
    belief = posterior.condition_on(posterior.prior(1, 1), torch.ones(1, 2, 1), torch.tensor([[1.0, 3.0]]))
    noise = torch.tensor([-6.0, -1.0, -1e-3, 0.0, 0.2, 2.5, 7.0], dtype=torch.float64)
    draws = posterior.sample(belief, noise.reshape(1, -1, 1)).flatten()
    # The quantile of a t distribution that noise is of a normal one; from the lower tail, where digits are.
    quantiles = -stats.t.ppf(stats.norm.cdf(-noise.abs().numpy()), df=5.0) * noise.sign().numpy()
    scale = float(posterior.std(belief, torch.ones(1, 1)))
    expected = posterior.mean(belief).flatten() + scale * torch.from_numpy(quantiles)
    torch.testing.assert_close(draws, expected, rtol=1e-9, atol=1e-9)


def test_draws_have_students_covariance_and_tails() -> None:
    posterior = NormalInverseGammaPosterior(shape=3.0, rate=3.0)
    features, rewards = drawn(2, 4, 3)
    belief = posterior.condition_on(posterior.prior(1, 3), features, rewards)
    noise = torch.randn(1, 40_000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    draws = posterior.sample(belief, noise)[0] - posterior.mean(belief)
    shape = float(belief["shape"])
    covariance = float(belief["rate"]) / (shape - 1.0) * torch.linalg.inv(belief["precision"][0])
    torch.testing.assert_close(draws.mT @ draws / len(draws), covariance, rtol=0.1, atol=0.02 * float(covariance.max()))
    x = features[0, 0]
    ratio = (draws @ x).abs() / posterior.std(belief, x.unsqueeze(0))
    for level in (0.5, 0.9, 0.99):
        bound = stats.t.ppf(0.5 + 0.5 * level, df=2.0 * shape)
        assert abs(float((ratio < bound).double().mean()) - level) < 0.01


def test_a_thousand_runs_cover_the_truth_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(4)
    posterior = NormalInverseGammaPosterior(regularization=1.0, shape=2.0, rate=2.0)
    runs = 4000
    deviation = (2.0 / torch.from_numpy(stats.gamma.rvs(2.0, size=runs, random_state=0))).sqrt()
    weights = deviation.unsqueeze(-1) * torch.randn(runs, 2, generator=generator, dtype=torch.float64)
    features = torch.randn(runs, 5, 2, generator=generator, dtype=torch.float64)
    noise = deviation.unsqueeze(-1) * torch.randn(runs, 5, generator=generator, dtype=torch.float64)
    rewards = (features @ weights.unsqueeze(-1)).squeeze(-1) + noise
    belief = posterior.condition_on(posterior.prior(runs, 2), features, rewards)
    x = torch.tensor([1.0, -1.0], dtype=torch.float64).expand(runs, 2)
    error = ((weights - posterior.mean(belief)) * x).sum(-1).abs() / posterior.std(belief, x)
    covered = float((error < stats.t.ppf(0.95, df=9.0)).double().mean())
    assert abs(covered - 0.9) < 0.015


def test_refuses_what_makes_no_sense() -> None:
    for name in ("regularization", "shape", "rate"):
        for value in (0.0, -1.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=name):
                NormalInverseGammaPosterior(**{name: value})
    with pytest.raises(ValueError, match="discount"):
        NormalInverseGammaPosterior(discount=1.5)
