from __future__ import annotations

import torch

from bfmkit.components.feature_maps.hilp_state import HilpStateFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestHilpStateFeatures(FeatureMapContract):
    def make(self) -> HilpStateFeatures:
        torch.manual_seed(0)
        return HilpStateFeatures(SPEC, LinearNetworks(), dim=4)

    def test_are_centred_once_they_are_fitted(self) -> None:
        features, s = self.make(), 3 + torch.randn(200, 5)
        features.fit(s, s, s)
        torch.testing.assert_close(features.features(s, s, s).mean(0), torch.zeros(4), atol=1e-4, rtol=0)

    def test_their_mean_follows_at_a_rate(self) -> None:
        features, s = self.make(), torch.randn(200, 5)
        features.fit(s, s, s, rate=0.25)
        torch.testing.assert_close(features.mean, 0.25 * features.encode(s).mean(0))
        features.fit(s, s, s, rate=torch.tensor(0.5))
        torch.testing.assert_close(features.mean, 0.625 * features.encode(s).mean(0))
