from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_maps.encoder import EncoderFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestEncoderFeatures(FeatureMapContract):
    def make(self) -> EncoderFeatures:
        torch.manual_seed(0)
        return EncoderFeatures(SPEC, LinearNetworks(), dim=4)

    def test_lie_on_the_sphere_if_asked(self) -> None:
        s = torch.randn(6, 5)
        features = self.make()
        plain = features.encoder_network(s)
        expected = 2 * torch.nn.functional.normalize(plain, dim=-1)
        torch.testing.assert_close(features.features(s, s, s), expected)
        torch.manual_seed(0)
        free = EncoderFeatures(SPEC, LinearNetworks(), dim=4, normalised=False)
        torch.testing.assert_close(free.features(s, s, s), plain)

    def test_refuses_no_features(self) -> None:
        with pytest.raises(ValueError, match="dim"):
            EncoderFeatures(SPEC, LinearNetworks(), dim=0)
