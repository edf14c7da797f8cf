from __future__ import annotations

import torch

from bfmkit.components.latent_samplers.sphere import SphereLatents
from bfmkit.testing.latent_sampler import LatentSamplerContract


class TestSphereLatents(LatentSamplerContract):
    def make(self) -> SphereLatents:
        return SphereLatents()


def test_no_direction_is_preferred() -> None:
    torch.manual_seed(0)
    z = SphereLatents().sample(TestSphereLatents().context(rows=20_000))
    assert z.mean(0).abs().max() < 0.03
    torch.testing.assert_close(z.mT @ z / len(z), torch.eye(6), atol=0.03, rtol=0)
