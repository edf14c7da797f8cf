from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.confidence_radius import SelfNormalizedRadius, TwoStageRadius
from bfmkit.interfaces import Acquisition, AcquisitionContext, CandidateSampler, Posterior
from bfmkit.recipe import RecipeError, build_node
from bfmkit.testing.acquisition import AcquisitionContract, context
from bfmkit.testing.models import LinearBFM

GOLDEN = Path(__file__).parents[2] / "golden"


class Given(CandidateSampler):
    """Candidates that are told."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights
        self.seen: list[AcquisitionContext] = []

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (1,)

    def draw(self, context: AcquisitionContext) -> Tensor:
        self.seen.append(context)
        return self.weights.double().expand(len(context.observation), -1, -1)


class Table(LinearBFM):
    """Successor features that are told, one set a candidate."""

    def __init__(self, values: Tensor) -> None:  # (k, E, d)
        super().__init__(values.shape[-1])
        self.values = values

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:
        return self.values.expand(len(observation), *self.values.shape)


class TestUCBAcquisition(AcquisitionContract):
    def make(self) -> UCBAcquisition:
        return UCBAcquisition(EllipsoidCandidates(count=16), confidence_radius=0.5)


class TestMeanUCBAcquisition(AcquisitionContract):
    def make(self) -> UCBAcquisition:
        return UCBAcquisition(EllipsoidCandidates(count=16), confidence_radius=0.5, ensemble="mean")


class TestSteppedUCBAcquisition(AcquisitionContract):
    def make(self) -> UCBAcquisition:
        return UCBAcquisition(EllipsoidCandidates(count=16), TwoStageRadius(initial=2.0, episodes=1, final=1e-9))

    def test_with_hardly_any_radius_left_it_acts_for_the_best_guess(self) -> None:
        rule = self.make()
        given = self.context(rule)  # in episodes 0, 1 and 2
        chosen, mean = rule.propose(given), given.posterior.mean(given.belief)
        assert not torch.allclose(chosen[0], mean[0], rtol=0, atol=1e-3)
        torch.testing.assert_close(chosen[1:], mean[1:], rtol=0, atol=1e-6)


class TestTheoreticalUCBAcquisition(AcquisitionContract):
    def make(self) -> UCBAcquisition:
        return UCBAcquisition(EllipsoidCandidates(count=16), confidence_radius="theoretical")

    def context(self, rule: Acquisition, zero: bool = False) -> AcquisitionContext:
        # A radius comes with a proof for least squares alone.
        given, posterior = super().context(rule), RidgePosterior()
        features = torch.eye(4, dtype=torch.float64).expand(3, 4, 4)[:, :2]
        learnt = posterior.condition_on(
            posterior.prior(3, 4), features, torch.zeros(3, 2) if zero else torch.ones(3, 2)
        )
        return replace(given, posterior=posterior, belief=learnt)


@pytest.mark.parametrize("name", ["ridge_d3", "ridge_d50", "discounted_d50", "lambda_d8"])
def test_picks_the_reference_candidate(name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / f"{name}.npz").items()}
    posterior = RidgePosterior(float(golden["lam"]), float(golden["decay"]))
    count, dim = golden["psi"].shape[0], golden["psi"].shape[-1]
    weights = torch.arange(count * dim, dtype=torch.float64).reshape(count, dim)
    rule = UCBAcquisition(Given(weights), float(golden["beta"]))
    belief = posterior.prior(1, dim)
    for features, reward in zip(golden["features"], golden["rewards"], strict=True):
        belief = posterior.update(belief, features[None], reward[None], torch.ones(1, dtype=torch.bool))
    given = AcquisitionContext(
        posterior, belief, Table(golden["psi"]), torch.zeros(1, dim), weights[:1], torch.zeros(1, 1), torch.zeros(1)
    )
    bound = rule.value(replace(given, radius=float(golden["beta"])), weights[None])[0]
    expected = golden["ucb_pessimistic"][-1]
    torch.testing.assert_close(bound, expected, rtol=0, atol=1e-8 * float(expected.abs().max()))
    assert torch.equal(rule.propose(given)[0], weights[golden["ucb_argmax"][-1]])


# Two candidates, two critics, identity covariance, mean (1, 0), radius 1. Bounds by hand, ψ₁ + |ψ|:
# first 3+5 = 8 and 0+1 = 1, second 0+3 = 3 and 0+4 = 4.
VALUES = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 4.0]]])


@pytest.mark.parametrize(("ensemble", "bounds"), [("min", [1.0, 3.0]), ("mean", [4.5, 3.5])])
def test_bounds_by_hand(ensemble: str, bounds: list[float]) -> None:
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    rule = UCBAcquisition(Given(weights), 1.0, ensemble)
    given = context((1,), runs=1, dim=2, mean=torch.tensor([1.0, 0.0]))
    given = AcquisitionContext(
        given.posterior, given.belief, Table(VALUES), given.observation, given.weights, given.noise, given.episode
    )
    assert rule.value(replace(given, radius=1.0), weights[None])[0].tolist() == bounds
    assert torch.equal(rule.propose(given)[0], weights[bounds.index(max(bounds))].double())


def test_hands_its_radius_to_the_candidates() -> None:
    candidates = Given(torch.eye(4))
    UCBAcquisition(candidates, 0.25).propose(context((1,)))
    assert candidates.seen[0].radius == 0.25


def test_a_theoretical_radius_is_that_of_each_run() -> None:
    posterior, settings = RidgePosterior(regularization=2.0), SelfNormalizedRadius(delta=0.1, noise_bound=0.3)
    belief = posterior.prior(2, 2)
    belief = posterior.update(belief, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.ones(2), torch.ones(2).bool())
    given = context((1,), runs=2, dim=2)
    given = replace(given, posterior=posterior, belief=belief, bfm=Table(torch.tensor([[[0.0, 2.0]]])))
    candidates = Given(torch.eye(2)[:1])
    rule = UCBAcquisition(candidates, settings)
    # By hand: V is diag(3, 2) and diag(2, 2), so its determinant has grown by 3/2 and not at all.
    radii = [0.3 * (math.log(1.5) + 2 * math.log(10)) ** 0.5 + 2**0.5, 0.3 * (2 * math.log(10)) ** 0.5 + 2**0.5]
    rule.propose(given)
    torch.testing.assert_close(candidates.seen[0].radius, torch.tensor(radii, dtype=torch.float64))
    width = 2 / 2**0.5
    expected = torch.tensor([[radii[0] * width], [radii[1] * width]], dtype=torch.float64)
    given = candidates.seen[0]
    torch.testing.assert_close(rule.value(given, torch.eye(2)[None, :1].expand(2, -1, -1)), expected)


@pytest.mark.parametrize(
    ("told", "settings"),
    [
        ("theoretical", SelfNormalizedRadius()),
        (
            {"type": "self_normalized", "delta": 0.01, "weight_norm": 2},
            SelfNormalizedRadius(delta=0.01, weight_norm=2.0),
        ),
        ({"type": "two_stage", "initial": 5, "episodes": 3}, TwoStageRadius(initial=5.0, episodes=3, final=0.1)),
        (0.25, 0.25),
    ],
)
def test_a_recipe_gives_a_number_a_word_or_settings(told: object, settings: object) -> None:
    node = {"type": "ucb", "candidates": {"type": "ellipsoid"}, "confidence_radius": told}
    assert build_node(Acquisition, node).confidence_radius == settings


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"type": "self_normalized", "detla": 0.1}, '"detla"; did you mean "delta"'),
        ({"type": "two_stage", "initial": 2, "episode": 5}, '"episode"; did you mean "episodes"'),
        ({"type": "two_stage", "initial": 2, "episodes": 0}, "episodes: must be at least 1"),
        ({"type": "two_stages", "initial": 2}, 'did you mean "two_stage"'),
        ({"delta": 2.0}, "type: missing"),
        ({"type": "self_normalized", "delta": 2.0}, "delta: must lie"),
        ("theory", "theory"),
        (math.inf, "must be finite and not negative"),
        (True, "true"),
    ],
)
def test_a_recipe_with_a_wrong_radius_is_refused(told: object, wrong: str) -> None:
    with pytest.raises(RecipeError, match=wrong):
        build_node(Acquisition, {"type": "ucb", "candidates": {"type": "ellipsoid"}, "confidence_radius": told})


def test_refuses_what_makes_no_sense() -> None:
    for radius in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="confidence_radius"):
            UCBAcquisition(EllipsoidCandidates(), confidence_radius=radius)
    with pytest.raises(ValueError, match="theoretical"):
        UCBAcquisition(EllipsoidCandidates(), confidence_radius="practical")


@pytest.mark.parametrize("posterior", [RidgePosterior(discount=0.9), NormalInverseGammaPosterior()])
def test_a_theoretical_radius_wants_a_posterior_that_it_is_known_for(posterior: Posterior) -> None:
    UCBAcquisition(EllipsoidCandidates(), 0.1).require(posterior)
    rule = UCBAcquisition(EllipsoidCandidates(), "theoretical")
    rule.require(RidgePosterior())
    with pytest.raises(ValueError, match="theoretical"):
        rule.require(posterior)
