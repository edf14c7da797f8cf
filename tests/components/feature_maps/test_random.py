from __future__ import annotations

import torch

from bfmkit.components.feature_maps.random import RandomFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestRandomFeatures(FeatureMapContract):
    def make(self) -> RandomFeatures:
        torch.manual_seed(0)
        return RandomFeatures(SPEC, LinearNetworks(), dim=4)

    def test_nothing_of_them_is_trained(self) -> None:
        assert not any(parameter.requires_grad for parameter in self.make().parameters())
