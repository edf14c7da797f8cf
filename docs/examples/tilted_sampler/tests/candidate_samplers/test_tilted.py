from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tilted_sampler.candidate_samplers.tilted import TiltedCandidates

from bfmkit.testing.acquisition import context
from bfmkit.testing.candidate_sampler import CandidateSamplerContract

# S of a belief whose features were correlated: far from diagonal.
ROOT = torch.tensor([[1.0, 0.0, 0.0], [-3.0, 0.5, 0.0], [0.0, 2.0, 0.1]], dtype=torch.float64)


class TestTiltedCandidates(CandidateSamplerContract):
    def make(self) -> TiltedCandidates:
        return TiltedCandidates(count=8)


class TestTiltedCandidatesWithRadius(CandidateSamplerContract):
    def make(self) -> TiltedCandidates:
        return TiltedCandidates(count=8, inflation=1.0, radius=0.3)


def test_the_ellipsoid_has_the_right_size_and_the_wrong_orientation() -> None:
    sampler = TiltedCandidates(count=20_000, inflation=1.0, radius=1.0)
    mean = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
    given = context(sampler.noise_shape(3), runs=1, dim=3, mean=mean, root=ROOT)
    apart = sampler.draw(given)[0] - mean
    # In the ball of d = 3 dimensions a coordinate has variance 1 / (d + 2).
    torch.testing.assert_close(5 * apart.mT.cov(), ROOT.mT @ ROOT, rtol=0, atol=0.3)
    right, wrong = (torch.linalg.eigvalsh(each) for each in (ROOT @ ROOT.mT, ROOT.mT @ ROOT))
    torch.testing.assert_close(right, wrong)
    distance = torch.linalg.solve(ROOT, apart.mT).norm(dim=0)
    assert distance.max() > 5.0, "some candidates lie far outside of the confidence ellipsoid"


def test_a_diagonal_root_makes_no_difference() -> None:
    sampler = TiltedCandidates(count=8, inflation=1.0)
    root = torch.diag(torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64))
    given = replace(context(sampler.noise_shape(3), dim=3, root=root), radius=torch.tensor([1.0, 2.0, 3.0]))
    ball = given.noise[..., :-2] / given.noise.norm(dim=-1, keepdim=True)
    expected = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(3, 1, 1) * ball @ root
    torch.testing.assert_close(sampler.draw(given), expected)


def test_needs_a_radius_from_somewhere() -> None:
    with pytest.raises(ValueError, match="radius"):
        TiltedCandidates(count=8).draw(context((8, 6)))


@pytest.mark.parametrize("arguments", [{"count": 0}, {"inflation": 0.0}, {"radius": -1.0}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        TiltedCandidates(**arguments)
