from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.latent_samplers.goals import GoalLatents
from bfmkit.components.latent_samplers.mixture import MixtureLatents
from bfmkit.components.latent_samplers.sphere import SphereLatents
from bfmkit.interfaces import LatentContext, LatentSampler
from bfmkit.testing.latent_sampler import LatentSamplerContract


class TestMixtureLatents(LatentSamplerContract):
    def make(self) -> MixtureLatents:
        return MixtureLatents([SphereLatents(), GoalLatents()], [1.0, 3.0])


class Constant(LatentSampler):
    def __init__(self, value: float) -> None:
        self.value = value

    def sample(self, context: LatentContext) -> Tensor:
        return torch.full_like(context.goals, self.value)


def test_each_sampler_has_its_share_of_the_rows() -> None:
    torch.manual_seed(0)
    mixture = MixtureLatents([Constant(0.0), Constant(1.0), Constant(2.0)], [1.0, 2.0, 5.0])
    z = mixture.sample(TestMixtureLatents().context(rows=20_000))
    assert torch.equal(z, z[:, :1].expand_as(z)), "a row mixes two draws"
    counts = z[:, 0].long().bincount(minlength=3) / len(z)
    torch.testing.assert_close(counts, torch.tensor([0.125, 0.25, 0.625]), atol=0.015, rtol=0)


def test_a_share_of_zero_is_never_drawn() -> None:
    mixture = MixtureLatents([Constant(0.0), Constant(1.0)], [1.0, 0.0])
    assert mixture.sample(TestMixtureLatents().context(rows=5000)).max() == 0


def test_refuses_shares_that_are_none() -> None:
    with pytest.raises(ValueError, match="2 samplers need as many shares, got 1"):
        MixtureLatents([SphereLatents(), GoalLatents()], [1.0])
    with pytest.raises(ValueError, match="not negative"):
        MixtureLatents([SphereLatents(), GoalLatents()], [1.0, -1.0])
    with pytest.raises(ValueError, match="not all be zero"):
        MixtureLatents([SphereLatents()], [0.0])
