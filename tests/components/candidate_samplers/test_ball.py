from __future__ import annotations

import pytest
import torch

from bfmkit.components.candidate_samplers.ball import BallCandidates
from bfmkit.testing.acquisition import context
from bfmkit.testing.candidate_sampler import CandidateSamplerContract


class TestBallCandidates(CandidateSamplerContract):
    def make(self) -> BallCandidates:
        return BallCandidates(count=8)


class TestCenteredBallCandidates(CandidateSamplerContract):
    def make(self) -> BallCandidates:
        return BallCandidates(count=8, radius=0.1, center="mean")

    def test_lie_about_the_mean(self) -> None:
        given = self.context(self.make())
        apart = self.make().draw(given) - given.posterior.mean(given.belief).unsqueeze(-2)
        assert apart.norm(dim=-1).max() <= 0.1
        assert apart.norm(dim=-1).max() > 0.03


def test_points_are_uniform_in_the_ball_however_the_belief_is_shaped() -> None:
    sampler = BallCandidates(count=20_000, radius=2.0)
    root = torch.diag(torch.tensor([1.0, 100.0, 0.01]))
    drawn = sampler.draw(context(sampler.noise_shape(3), runs=1, dim=3, mean=torch.ones(3), root=root))[0]
    radius = drawn.norm(dim=-1) / 2
    assert radius.max() <= 1.0
    # The volume within r is r³, so r³ is uniform on [0, 1].
    quantiles = torch.quantile(radius**3, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), rtol=0, atol=0.02)
    torch.testing.assert_close(drawn.mT.cov(), 4 / 5 * torch.eye(3, dtype=torch.float64), rtol=0, atol=0.04)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"radius": 0.0}, {"center": "edge"}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BallCandidates(**arguments)
