from __future__ import annotations

import torch

from bfmkit.components.feature_maps.hilp_difference import HilpDifferenceFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestHilpDifferenceFeatures(FeatureMapContract):
    def make(self) -> HilpDifferenceFeatures:
        torch.manual_seed(0)
        return HilpDifferenceFeatures(SPEC, LinearNetworks(), dim=4)

    def test_steps_add_up_to_the_way(self) -> None:
        features = self.make()
        a, b, c = torch.randn(3, 6, 5)
        whole = features.features(a, a, c)
        torch.testing.assert_close(features.features(a, a, b) + features.features(b, b, c), whole)
        assert not features.features(a, a, a).any()
