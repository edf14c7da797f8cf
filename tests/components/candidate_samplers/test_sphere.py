from __future__ import annotations

import pytest
import torch

from bfmkit.components.candidate_samplers.sphere import SphereCandidates
from bfmkit.testing.acquisition import context
from bfmkit.testing.candidate_sampler import CandidateSamplerContract


class TestSphereCandidates(CandidateSamplerContract):
    def make(self) -> SphereCandidates:
        return SphereCandidates(count=8, radius=2.0)


def test_points_are_uniform_on_the_sphere() -> None:
    sampler = SphereCandidates(count=20_000, radius=2.0)
    drawn = sampler.draw(context(sampler.noise_shape(3), runs=1, dim=3, mean=torch.ones(3)))[0]
    torch.testing.assert_close(drawn.norm(dim=-1), torch.full((20_000,), 2.0, dtype=torch.float64))
    # A coordinate of a uniform point on the sphere in three dimensions is uniform (Archimedes).
    quantiles = torch.quantile(drawn, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=0)
    expected = torch.tensor([-1.6, 0.0, 1.6], dtype=torch.float64).unsqueeze(-1).expand(3, 3)
    torch.testing.assert_close(quantiles, expected, rtol=0, atol=0.06)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"radius": 0.0}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SphereCandidates(**arguments)
