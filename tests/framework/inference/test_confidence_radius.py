from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.inference.confidence_radius import SelfNormalizedRadius, TwoStageRadius
from bfmkit.interfaces import Posterior
from bfmkit.testing.posteriors import KnownPosterior


@given(
    regularization=st.floats(1e-3, 1e3),
    delta=st.floats(0.001, 0.999),
    noise_bound=st.floats(0, 10),
    weight_norm=st.floats(0.1, 10),
    seed=st.integers(0, 100),
)
def test_is_the_formula_with_determinants_worked_out_anew(
    regularization: float, delta: float, noise_bound: float, weight_norm: float, seed: int
) -> None:
    features = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    posterior = RidgePosterior(regularization)
    belief = posterior.condition_on(posterior.prior(2, 3), features, torch.zeros(2, 5))
    prior = regularization * torch.eye(3, dtype=torch.float64)
    ratio = torch.linalg.det(prior + features.mT @ features).sqrt() / torch.linalg.det(prior).sqrt()
    expected = noise_bound * (2 * (ratio / delta).log()).sqrt() + math.sqrt(regularization) * weight_norm
    radius = SelfNormalizedRadius(delta, noise_bound, weight_norm).of(posterior, belief)
    torch.testing.assert_close(radius, expected, rtol=1e-6, atol=1e-6)


def test_the_weights_stay_within_the_radius_as_often_as_promised() -> None:
    runs, dim, steps, noise = 400, 3, 60, 0.5
    generator = torch.Generator().manual_seed(0)
    weights = torch.nn.functional.normalize(torch.randn(runs, dim, generator=generator, dtype=torch.float64), dim=-1)
    posterior, settings = RidgePosterior(0.1), SelfNormalizedRadius(delta=0.2, noise_bound=noise, weight_norm=1.0)
    belief, everyone = posterior.prior(runs, dim), torch.ones(runs, dtype=torch.bool)
    left = torch.zeros(runs, dtype=torch.bool)
    closest = torch.zeros(runs, dtype=torch.float64)
    for _ in range(steps):
        features = torch.randn(runs, dim, generator=generator, dtype=torch.float64)
        reward = (features * weights).sum(-1) + noise * torch.randn(runs, generator=generator, dtype=torch.float64)
        belief = posterior.update(belief, features, reward, everyone)
        error = (belief["mean"] - weights).unsqueeze(-1)
        distance = (error.mT @ belief["precision"] @ error).squeeze().sqrt() / settings.of(posterior, belief)
        left |= distance > 1
        closest = torch.maximum(closest, distance)
    assert left.double().mean() <= 0.2
    # Nor is it so wide that it says nothing.
    assert closest.max() > 0.5


@pytest.mark.parametrize("noise_std", [1.0, 0.5])
def test_errors_of_the_features_stay_within_the_grown_radius_and_outside_the_plain_one(noise_std: float) -> None:
    # Rewards without noise, whose error has the sign that moves the mean farthest: always with the first feature.
    error, steps, dim = 0.2, 400, 3
    features = torch.randn(1, steps, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    reward = features @ weights + error * features.norm(dim=-1) * features[..., 0].sign()
    posterior = BayesianPosterior(noise_std=noise_std, prior_std=1.0)
    belief = posterior.condition_on(posterior.prior(1, dim), features, reward)
    off = (belief["mean"] - weights).unsqueeze(-1)
    distance = (off.mT @ belief["precision"] @ off).squeeze().sqrt()
    plain = SelfNormalizedRadius(noise_bound=0.0).of(posterior, belief)
    grown = SelfNormalizedRadius(noise_bound=0.0, misspecification=error).of(posterior, belief)
    assert plain < distance <= grown
    # The growth is the largest error that the labels can have, sqrt(sum of squares), in units of the believed noise.
    expected = plain + error * features.square().sum().sqrt() / noise_std
    torch.testing.assert_close(grown, expected)


def test_noise_and_prior_in_other_units_give_the_same_ellipsoid() -> None:
    features = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    widths = []
    for posterior in (BayesianPosterior(noise_std=0.1, prior_std=2.0), RidgePosterior(regularization=0.0025)):
        belief = posterior.condition_on(posterior.prior(2, 3), features, torch.ones(2, 5))
        widths.append(SelfNormalizedRadius().of(posterior, belief).unsqueeze(-1) * posterior.std(belief, x))
    torch.testing.assert_close(*widths)


@pytest.mark.parametrize(
    "posterior",
    [
        KnownPosterior(),
        RidgePosterior(discount=0.99),
        WeightedRidgePosterior(discount=0.99),
        BayesianPosterior(discount=0.99),
        NormalInverseGammaPosterior(),
        SlidingWindowPosterior(steps=3),
        EnsemblePosterior(members=2),
    ],
    ids=lambda posterior: type(posterior).__name__,
)
def test_is_refused_where_nothing_is_proved(posterior: Posterior) -> None:
    with pytest.raises(ValueError, match=type(posterior).__name__):
        SelfNormalizedRadius().of(posterior, posterior.prior(1, 2))


@pytest.mark.parametrize(
    "arguments",
    [
        {"delta": 0.0},
        {"delta": 1.0},
        {"noise_bound": -1.0},
        {"weight_norm": 0.0},
        {"weight_norm": math.inf},
        {"misspecification": -0.1},
    ],
)
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SelfNormalizedRadius(**arguments)


def test_the_stage_goes_by_each_runs_episode() -> None:
    radius = TwoStageRadius(initial=5.0, episodes=2, final=0.5)
    assert radius.of(torch.tensor([0, 1, 2, 50])).tolist() == [5.0, 5.0, 0.5, 0.5]
    assert radius.stage(3) == "final stage, confidence_radius 0.5, since episode 3"
    assert "initial stage, confidence_radius 5, to the end: it takes 2 episodes and the run had 2" in radius.stage(2)


@pytest.mark.parametrize("arguments", [{"initial": 0.0}, {"episodes": 0}, {"final": -0.1}, {"initial": math.inf}])
def test_stages_refuse_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        TwoStageRadius(**({"initial": 1.0, "episodes": 10} | arguments))
