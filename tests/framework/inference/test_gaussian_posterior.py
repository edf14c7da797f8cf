from __future__ import annotations

import warnings

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.testing.exact import exact_regression, on_grid

LAST = 2.0**-10
STEADY: dict[str, NormalPosterior] = {
    "ridge": RidgePosterior(LAST),
    "bayesian": BayesianPosterior(noise_std=0.5, prior_std=2.0**5),
    "normal_inverse_gamma": NormalInverseGammaPosterior(LAST),
    "ensemble": EnsemblePosterior(8, noise_std=0.5, prior_std=2.0**5),
    "sliding_window": SlidingWindowPosterior(1000, LAST),
}
FORGETFUL: dict[str, NormalPosterior] = {
    "ridge": RidgePosterior(discount=0.9),
    "ridge, prior kept": WeightedRidgePosterior(discount=0.9),
    "bayesian": BayesianPosterior(discount=0.9),
    "normal_inverse_gamma": NormalInverseGammaPosterior(discount=0.9, rate=1.0),
    "sliding_window": SlidingWindowPosterior(4),
}
EVERYONE = torch.ones(1, dtype=torch.bool)


def one_by_one(posterior: NormalPosterior, features: Tensor, rewards: Tensor) -> TensorDict:
    belief = posterior.prior(len(features), features.shape[-1])
    everyone = torch.ones(len(features), dtype=torch.bool)
    for step in range(features.shape[1]):
        belief = posterior.update(belief, features[:, step], rewards[:, step], everyone)
    return belief


def ill_conditioned(runs: list[float], count: int, dim: int) -> tuple[Tensor, Tensor]:
    """Features with half of the directions weaker than the others, by a factor for each run, and their rewards."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    scales = torch.ones(len(runs), 1, dim, dtype=torch.float64)
    scales[..., dim // 2 :] = torch.tensor(runs, dtype=torch.float64).reshape(-1, 1, 1)
    normal = torch.randn(len(runs), count, dim, generator=generator, dtype=torch.float64)
    features = on_grid(normal * scales @ rotation.mT)
    weights = torch.randn(dim, 1, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(len(runs), count, generator=generator, dtype=torch.float64)
    return features, on_grid((0.5 * features @ weights).squeeze(-1) + noise)


def off(value: Tensor, exact: Tensor) -> float:
    return float((value - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", STEADY)
def test_many_updates_stay_near_what_many_digits_give(name: str) -> None:
    posterior, count, dim = STEADY[name], 1000, 6
    features, rewards = ill_conditioned([1.0, 1e-3, 1e-5], count, dim)
    probes = torch.randn(3, 4, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # Updates and a batch of labels, so that both are on trial.
    belief = one_by_one(posterior, features[:, :800], rewards[:, :800])
    belief = posterior.condition_on(belief, features[:, 800:], rewards[:, 800:])
    for run, tolerance in enumerate((1e-12, 1e-8, 1e-5)):
        exact = exact_regression(
            features[run], rewards[run], posterior.prior_precision, probes[run], posterior.noise_std
        )
        assert off(posterior.mean(belief)[run], exact.mean) < tolerance
        assert abs(posterior.log_determinant(belief)[run].item() - exact.log_determinant) < tolerance * dim
        inverse = belief["factor_inverse"][run]
        assert off((probes[run] @ inverse.mT).norm(dim=-1), exact.widths) < tolerance
    condition = torch.linalg.cond(belief["precision"]).tolist()
    assert 2e5 < condition[1] < 2e6
    for value in belief.values(True, True):
        assert value.isfinite().all()
    assert torch.equal(belief["precision"], belief["precision"].mT)
    assert (torch.linalg.eigvalsh(belief["precision"]) > 0).all()


@pytest.mark.parametrize("keeps_prior", [False, True])
def test_many_discounted_updates_stay_near_what_many_digits_give(keeps_prior: bool) -> None:
    posterior, count, dim = (WeightedRidgePosterior if keeps_prior else RidgePosterior)(LAST, 0.995), 500, 4
    features, rewards = ill_conditioned([1e-3], count, dim)
    belief = one_by_one(posterior, features, rewards)
    with mpmath.workdps(50):
        discount, weight = mpmath.mpf(0.995), mpmath.mpf(1)
        precision, squared, response = mpmath.zeros(dim), mpmath.zeros(dim), mpmath.zeros(dim, 1)
        for row, reward in zip(features[0].flip(0).tolist(), rewards[0].flip(0).tolist(), strict=True):
            for i in range(dim):
                response[i] += weight * row[i] * reward
                for j in range(dim):
                    product = mpmath.mpf(row[i]) * row[j]
                    precision[i, j] += weight * product
                    squared[i, j] += weight**2 * product
            weight *= discount
        precision += (LAST if keeps_prior else LAST * weight) * mpmath.eye(dim)
        squared += LAST * mpmath.eye(dim)
        mean = torch.tensor([float(value) for value in mpmath.lu_solve(precision, response)], dtype=torch.float64)
        covariance = precision**-1
        if keeps_prior:
            covariance = covariance * squared * covariance
        width = float(mpmath.sqrt(sum(covariance[i, j] for i in range(dim) for j in range(dim))))
    assert 1e5 < float(torch.linalg.cond(belief["precision"][0])) < 1e7
    assert off(posterior.mean(belief)[0], mean) < 1e-8
    assert off(posterior.std(belief, torch.ones(1, dim)), torch.tensor([width], dtype=torch.float64)) < 1e-8


@pytest.mark.parametrize("name", STEADY)
def test_one_feature_again_and_again(name: str) -> None:
    posterior, count = STEADY[name], 300
    direction = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    features, rewards = direction.expand(1, count, 3), torch.full((1, count), 3.0, dtype=torch.float64)
    belief = one_by_one(posterior, features, rewards)
    # Sherman and Morrison: V = λI + nφφᵀ/σ².
    known = count / posterior.noise_std**2
    length = float(direction @ direction)
    scale = posterior.prior_precision + known * length
    torch.testing.assert_close(posterior.mean(belief)[0], known * 3.0 / scale * direction, rtol=1e-9, atol=1e-12)
    across = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
    if name in ("ridge", "bayesian", "sliding_window"):
        expected = torch.tensor([(length / scale) ** 0.5, (5.0 / posterior.prior_precision) ** 0.5]).double()
        x = torch.stack([direction, across[0]]).unsqueeze(0)
        torch.testing.assert_close(posterior.std(belief, x)[0], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", STEADY)
def test_features_of_zero_teach_nothing(name: str) -> None:
    posterior = STEADY[name]
    prior = posterior.prior(1, 3)
    belief = one_by_one(posterior, torch.zeros(1, 5, 3), torch.zeros(1, 5))
    for key in ("mean", "precision", "factor_inverse"):
        assert torch.equal(belief[key], prior[key])
    assert posterior.information_gain(belief, torch.zeros(1, 3)).item() == 0.0
    assert posterior.std(belief, torch.zeros(1, 3)).item() == 0.0


@pytest.mark.parametrize("name", STEADY)
def test_one_weight_is_an_average(name: str) -> None:
    posterior = STEADY[name]
    features = torch.tensor([[[1.0], [2.0], [-1.0]]], dtype=torch.float64)
    rewards = torch.tensor([[2.0, 3.0, 0.5]], dtype=torch.float64)
    noise = posterior.noise_std**2
    expected = (2.0 + 6.0 - 0.5) / noise / (posterior.prior_precision + 6.0 / noise)
    torch.testing.assert_close(
        posterior.mean(one_by_one(posterior, features, rewards)), torch.tensor([[expected]], dtype=torch.float64)
    )


@pytest.mark.parametrize("name", STEADY)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 7), dim=st.integers(1, 4))
def test_at_once_one_by_one_or_in_another_order_is_the_same(name: str, seed: int, count: int, dim: int) -> None:
    posterior = {"sliding_window": SlidingWindowPosterior(10)}.get(name, STEADY[name])
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, count, dim, generator=generator, dtype=torch.float64)
    rewards = torch.randn(2, count, generator=generator, dtype=torch.float64)
    order = torch.randperm(count, generator=generator)
    first = one_by_one(posterior, features, rewards)
    # Compared as sums, which a solve with few rewards would only amplify.
    others = [posterior.condition_on(posterior.prior(2, dim), features, rewards)]
    others.append(one_by_one(posterior, features[:, order], rewards[:, order]))
    for other in others:
        torch.testing.assert_close(other["precision"], first["precision"], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other["response"], first["response"], rtol=1e-12, atol=1e-12)
    if name == "ensemble":
        torch.testing.assert_close(others[0]["perturbation"], first["perturbation"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FORGETFUL)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), idle=st.integers(1, 12))
def test_forgetting_goes_on_where_nothing_is_observed(name: str, seed: int, idle: int) -> None:
    posterior = FORGETFUL[name]
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    start = belief = one_by_one(posterior, features, rewards)
    for _ in range(idle):
        belief = posterior.update(belief, features[:, 0], rewards[:, 0], torch.tensor([True, False]))
    left = 0.9**idle
    expected = {
        "ridge, prior kept": left * start["precision"] + (1.0 - left) * torch.eye(3, dtype=torch.float64),
        "sliding_window": torch.eye(3, dtype=torch.float64) + features[:, 1 + idle :].mT @ features[:, 1 + idle :],
    }.get(name, left * start["precision"])
    torch.testing.assert_close(belief["precision"][1], expected[1])
    assert posterior.log_determinant(start)[1] > posterior.log_determinant(belief)[1]


@pytest.mark.parametrize("name", [name for name in FORGETFUL if name != "sliding_window"])
def test_nothing_but_forgetting_for_very_long_leaves_a_usable_belief(name: str) -> None:
    strong = {
        "ridge": RidgePosterior(discount=0.1),
        "ridge, prior kept": WeightedRidgePosterior(discount=0.1),
        "bayesian": BayesianPosterior(discount=0.1),
        "normal_inverse_gamma": NormalInverseGammaPosterior(discount=0.1),
    }
    posterior = strong[name]
    belief = posterior.prior(2, 3)
    features = torch.tensor([[1.0, 2.0, -1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    for step in range(400):
        # The first run sees no reward after a while, the second one direction for ever.
        belief = posterior.update(belief, features, torch.ones(2), torch.tensor([step < 3, True]))
    assert all(value.isfinite().all() for value in belief.values(True, True))
    noise = torch.ones(2, 3, dtype=torch.float64)
    for value in (
        posterior.from_base_samples(belief, noise),
        posterior.sample(belief, noise),
        posterior.std(belief, noise),
    ):
        assert value.isfinite().all()
        # What is handed to a network is float32, and may be squared there.
        assert value.float().square().isfinite().all()
    assert posterior.std(belief, features)[1] < 1.0 or name == "normal_inverse_gamma"


def test_a_run_beyond_mending_does_not_take_the_others_along() -> None:
    posterior = RidgePosterior()
    everyone = torch.ones(3, dtype=torch.bool)
    features = torch.tensor([[1.0, 0.0], [1e200, 1.0], [0.0, 2.0]], dtype=torch.float64)
    belief = posterior.update(posterior.prior(3, 2), features, torch.ones(3), everyone)
    with warnings.catch_warnings():
        # Whether LAPACK notices what is not finite depends on which one it is.
        warnings.simplefilter("ignore")
        belief = posterior.update(belief, 0.0 * features, torch.ones(3), everyone)
    assert not posterior.mean(belief)[1].isfinite().any()
    expected = torch.tensor([[0.5, 0.0], [0.0, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(posterior.mean(belief)[[0, 2]], expected)
    # Finite, and as far from definite as can be.
    belief["precision"][1] = torch.tensor([[1.0, 3.0], [3.0, 1.0]])
    belief["precision_lost"][1] = 0.0
    with pytest.warns(UserWarning, match=r"not positive definite(;| in runs \[1\])"):
        belief = posterior.update(belief, 0.0 * features, torch.ones(3), everyone)
    assert posterior.mean(belief)[1].isnan().all()
    torch.testing.assert_close(posterior.mean(belief)[[0, 2]], expected)


def test_each_run_is_mended_by_as_little_as_it_needs() -> None:
    posterior = RidgePosterior()
    belief = posterior.prior(3, 2)
    # Indefinite by very little, by more, and not at all.
    belief["precision"][0] = torch.tensor([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]], dtype=torch.float64)
    belief["precision"][1] = torch.tensor([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]], dtype=torch.float64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        after = posterior.update(belief, torch.zeros(3, 2), torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    assert all("not positive definite; adding" in str(warning.message) for warning in caught)
    assert len(caught) > 2
    assert after["mean"].isfinite().all()
    across = torch.tensor([[1.0, -1.0]], dtype=torch.float64).expand(3, 2)
    width = posterior.std(after, across)
    assert width[0] > 1e6 > width[1] > 1e3
    torch.testing.assert_close(width[2], torch.tensor(2.0, dtype=torch.float64).sqrt())


@pytest.mark.parametrize("posterior", [STEADY["ridge"], STEADY["bayesian"]], ids=["ridge", "bayesian"])
def test_log_determinant_is_what_its_samples_say(posterior: NormalPosterior) -> None:
    features = torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    belief = one_by_one(posterior, features, features.sum(-1))
    torch.testing.assert_close(posterior.log_determinant(belief), Posterior.log_determinant(posterior, belief))
