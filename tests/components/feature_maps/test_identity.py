from __future__ import annotations

import torch

from bfmkit.components.feature_maps.identity import IdentityFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.objective import SPEC


class TestIdentityFeatures(FeatureMapContract):
    def make(self) -> IdentityFeatures:
        return IdentityFeatures(SPEC)

    def test_are_the_next_observation(self) -> None:
        s, following = torch.randn(2, 3, 5)
        assert torch.equal(self.make().features(s, s, following), following)
