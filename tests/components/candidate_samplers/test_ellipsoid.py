from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import AcquisitionContext
from bfmkit.testing.acquisition import context
from bfmkit.testing.candidate_sampler import CandidateSamplerContract
from bfmkit.testing.models import LinearBFM

GOLDEN = Path(__file__).parents[2] / "golden"


class TestEllipsoidCandidates(CandidateSamplerContract):
    def make(self) -> EllipsoidCandidates:
        return EllipsoidCandidates(count=8)


class TestEllipsoidCandidatesWithRadius(CandidateSamplerContract):
    def make(self) -> EllipsoidCandidates:
        return EllipsoidCandidates(count=8, radius=0.3)


@pytest.mark.parametrize("name", ["ridge_d3", "ridge_d50", "discounted_d50", "lambda_d8"])
def test_draws_the_reference_candidates(name: str) -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / f"{name}.npz").items()}
    dim = golden["features"].shape[-1]
    posterior = RidgePosterior(float(golden["lam"]), float(golden["decay"]))
    belief = posterior.prior(1, dim)
    for features, reward in zip(golden["features"], golden["rewards"], strict=True):
        belief = posterior.update(belief, features[None], reward[None], torch.ones(1, dtype=torch.bool))
    # A point of the ball, with two more coordinates that put it onto the sphere.
    ball = golden["ball_noise"]
    rest = (1.0 - ball.square().sum(-1, keepdim=True)).sqrt() * torch.tensor([0.6, 0.8], dtype=torch.float64)
    noise = 3.0 * torch.cat([ball, rest], -1)
    sampler = EllipsoidCandidates(count=len(ball), inflation=2.0)
    assert noise.shape == sampler.noise_shape(dim)
    given = AcquisitionContext(
        posterior,
        belief,
        LinearBFM(dim),
        torch.zeros(1, dim),
        torch.zeros(1, dim),
        noise[None],
        torch.zeros(1),
        radius=float(golden["beta"]),
    )
    expected = golden["candidates"]
    drawn = sampler.draw(given)[0]
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-8 * float(expected.abs().max()))


def test_points_are_uniform_in_the_ball() -> None:
    sampler = EllipsoidCandidates(count=20_000, inflation=1.0, radius=1.0)
    drawn = sampler.draw(context(sampler.noise_shape(3), runs=1, dim=3))[0]
    radius = drawn.norm(dim=-1)
    assert radius.max() <= 1.0
    # The volume within r is r³, so r³ is uniform on [0, 1].
    quantiles = torch.quantile(radius**3, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), rtol=0, atol=0.02)
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=0.02)


def test_own_radius_goes_before_that_of_the_rule() -> None:
    given = context((8, 6))
    assert EllipsoidCandidates(count=8, radius=0.1).draw(replace(given, radius=9.0)).norm(dim=-1).max() <= 0.2
    assert EllipsoidCandidates(count=8).draw(replace(given, radius=9.0)).norm(dim=-1).max() > 0.2
    by_run = EllipsoidCandidates(count=8).draw(replace(given, radius=torch.tensor([1e-6, 1.0, 1.0])))
    assert by_run[0].norm(dim=-1).max() < 1e-5
    with pytest.raises(ValueError, match="radius"):
        EllipsoidCandidates(count=8).draw(given)


def test_with_a_radius_of_zero_all_are_the_mean_or_where_that_is_zero_directions() -> None:
    sampler = EllipsoidCandidates(count=8)
    known = torch.tensor([0.5, -1.0, 0.25, 2.0])
    drawn = sampler.draw(replace(context((8, 6), mean=known), radius=0.0))
    torch.testing.assert_close(drawn, known.double().expand(3, 8, 4))
    unknown = replace(context((8, 6), mean=torch.zeros(4)), radius=0.0)
    assert sampler.draw(unknown).any(dim=-1).all()
    chosen = UCBAcquisition(sampler, confidence_radius=0.0).propose(unknown)
    assert chosen.any(dim=-1).all() and not torch.equal(chosen[0], chosen[1])


def test_says_before_it_draws_that_it_will_have_no_radius() -> None:
    EllipsoidCandidates().require(RidgePosterior(), has_radius=True)
    EllipsoidCandidates(radius=1.0).require(RidgePosterior(), has_radius=False)
    with pytest.raises(ValueError, match="no radius"):
        EllipsoidCandidates().require(RidgePosterior(), has_radius=False)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"inflation": 0.0}, {"radius": -1.0}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EllipsoidCandidates(**arguments)
