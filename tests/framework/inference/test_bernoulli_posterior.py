from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from bfmkit.components.posteriors.logistic import LogisticPosterior


def negative_log_posterior(
    weights: np.ndarray,  # (..., d), or (..., 1 + d) with the offset first
    features: np.ndarray,  # (n, d)
    rewards: np.ndarray,  # (n,)
    posterior: LogisticPosterior,
) -> np.ndarray:
    """The formula of the docstring, term by term."""
    offset = (
        weights[..., :-dim] if (dim := features.shape[1]) < weights.shape[-1] else np.zeros((*weights.shape[:-1], 1))
    )
    weights = weights[..., -dim:]
    logit = posterior.slope * weights @ features.T + offset
    good = (1 + np.clip(rewards, -1, 1)) / 2
    terms = good * np.log1p(np.exp(-logit)) + (1 - good) * np.log1p(np.exp(logit))
    penalty = (offset**2).sum(-1) / (2 * posterior.offset_std**2) if posterior.offset_std else 0.0
    return (weights**2).sum(-1) / (2 * posterior.prior_std**2) + penalty + terms.sum(-1)


def integrated(posterior: LogisticPosterior, features: np.ndarray, rewards: np.ndarray, grid: np.ndarray) -> tuple:
    """Mean and covariance of the posterior itself, summed over a grid (n, d)."""
    density = np.exp(-negative_log_posterior(grid, features, rewards, posterior))
    density /= density.sum()
    mean = density @ grid
    return mean, (grid - mean).T @ ((grid - mean) * density[:, None])


@pytest.mark.parametrize("soft", [False, True])
def test_mean_is_the_mode_of_all_presses_in_any_pieces(soft: bool) -> None:
    posterior = LogisticPosterior(slope=1.5, prior_std=1.0, offset_std=1.2)
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(3, 12, 5, generator=generator, dtype=torch.float64)
    rewards = torch.randn(3, 12, generator=generator, dtype=torch.float64).sign() * (0.7 if soft else 1.0)
    pieces = single = posterior.prior(3, 5)
    for part in (slice(0, 4), slice(4, 12)):
        pieces = posterior.condition_on(pieces, features[:, part], rewards[:, part])
    for step in range(12):
        single = posterior.update(single, features[:, step], rewards[:, step], torch.ones(3, dtype=torch.bool))
    for run in range(3):
        arguments = features[run].numpy(), rewards[run].numpy(), posterior
        found = minimize(negative_log_posterior, np.zeros(6), arguments, "BFGS", options={"gtol": 1e-9})
        for belief in (single, pieces):
            np.testing.assert_allclose(belief["mean"][run], found.x[1:], atol=1e-5)


@pytest.mark.parametrize("presses", [0, 1, 4, 40])
def test_one_weight_is_that_of_numerical_integration(presses: int) -> None:
    posterior = LogisticPosterior(slope=1.0, prior_std=1.0, offset_std=0.0)
    random = np.random.RandomState(presses)
    features = random.uniform(-1, 1, (presses, 1))
    rewards = np.where(random.uniform(size=presses) < 1 / (1 + np.exp(-1.2 * features[:, 0])), 1.0, -1.0)
    mean, covariance = integrated(posterior, features, rewards, np.linspace(-6, 6, 4001)[:, None])
    belief = posterior.condition_on(posterior.prior(1, 1), torch.tensor(features)[None], torch.tensor(rewards)[None])
    assert float(belief["mean"]) == pytest.approx(mean[0], abs=0.05)
    width = float(posterior.std(belief, torch.ones(1, 1)))
    assert width == pytest.approx(covariance[0, 0] ** 0.5, rel=0.05)


def test_two_weights_are_those_of_numerical_integration() -> None:
    posterior = LogisticPosterior(slope=2.0, prior_std=0.7, offset_std=0.0)
    random = np.random.RandomState(3)
    features = random.normal(size=(30, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]])
    rewards = np.where(random.uniform(size=30) < 1 / (1 + np.exp(-2 * features @ [0.9, -0.5])), 1.0, -1.0)
    axis = np.linspace(-3, 4, 351)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    mean, covariance = integrated(posterior, features, rewards, grid)
    belief = posterior.condition_on(posterior.prior(1, 2), torch.tensor(features)[None], torch.tensor(rewards)[None])
    np.testing.assert_allclose(belief["mean"][0], mean, atol=0.06)
    np.testing.assert_allclose((belief["factor_inverse"][0].mT @ belief["factor_inverse"][0]), covariance, atol=0.02)
    # The chance of good over the whole belief, for some features.
    wanted = np.array([[1.0, 0.2], [-0.5, 0.5], [2.0, -1.0]])
    density = np.exp(-negative_log_posterior(grid, features, rewards, posterior))
    chance = (density / density.sum()) @ (1 / (1 + np.exp(-2.0 * grid @ wanted.T)))
    found = posterior.predictive_mean(belief, torch.tensor(wanted)[None])[0]
    np.testing.assert_allclose(found, 2 * chance - 1, atol=0.05)
    np.testing.assert_allclose(
        posterior.predictive_std(belief, torch.tensor(wanted)[None])[0], np.sqrt(1 - found.numpy() ** 2), rtol=0.2
    )


def test_a_press_of_weight_two_is_two_presses() -> None:
    posterior = LogisticPosterior(slope=3.0)
    features, reward = torch.tensor([[0.5, -1.0, 0.2]]), torch.tensor([1.0])
    belief = posterior.prior(1, 3)
    twice = posterior.label(posterior.label(belief, features, reward), features, reward)
    heavy = posterior.label(belief, features, reward, weight=2.0)
    torch.testing.assert_close(heavy["mean"], twice["mean"])
    torch.testing.assert_close(heavy["factor_inverse"], twice["factor_inverse"])


def test_weights_beside_an_offset_are_those_of_numerical_integration() -> None:
    posterior = LogisticPosterior(slope=1.0, prior_std=1.0, offset_std=2.0)
    random = np.random.RandomState(2)
    features = random.uniform(-1, 1, (25, 1))
    rewards = np.where(random.uniform(size=25) < 1 / (1 + np.exp(1.5 - 1.2 * features[:, 0])), 1.0, -1.0)
    axis = np.linspace(-7, 7, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    mean, covariance = integrated(posterior, features, rewards, grid)
    belief = posterior.condition_on(posterior.prior(1, 1), torch.tensor(features)[None], torch.tensor(rewards)[None])
    assert float(belief["mean"]) == pytest.approx(mean[1], abs=0.06)
    assert float(posterior.std(belief, torch.ones(1, 1))) == pytest.approx(covariance[1, 1] ** 0.5, rel=0.06)


def test_old_presses_leave_their_mark() -> None:
    """A window of 20 labels against one of all 200."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 200, 3, generator=generator, dtype=torch.float64)
    chance = torch.sigmoid(features @ torch.tensor([0.8, -0.4, 0.1], dtype=torch.float64))
    rewards = 2.0 * torch.bernoulli(chance, generator=generator) - 1.0
    small, whole = LogisticPosterior(1.0, labels=20), LogisticPosterior(1.0, labels=200)
    beliefs = []
    for posterior in (small, whole):
        belief = posterior.prior(1, 3)
        for step in range(200):
            belief = posterior.update(belief, features[:, step], rewards[:, step], torch.tensor([True]))
        beliefs.append(belief)
    found, expected = beliefs
    torch.testing.assert_close(found["mean"], expected["mean"], rtol=0, atol=0.05)
    torch.testing.assert_close(small.std(found, features), whole.std(expected, features), rtol=0.08, atol=0)
    # All at once as well: more labels than the window holds.
    once = small.condition_on(small.prior(1, 3), features, rewards)
    torch.testing.assert_close(once["mean"], expected["mean"], rtol=0, atol=0.06)


def test_presses_far_beyond_doubt_stay_finite() -> None:
    posterior = LogisticPosterior(slope=50.0, prior_std=10.0)
    features = 30.0 * torch.eye(4).repeat(1, 20, 1)
    rewards = torch.where(torch.arange(80) % 4 < 2, 5.0, -5.0)[None]
    belief = posterior.condition_on(posterior.prior(1, 4), features, rewards)
    assert belief["mean"].isfinite().all() and (belief["mean"][0].sign() == torch.tensor([1, 1, -1, -1])).all()
