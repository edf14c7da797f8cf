from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.universal_sf import UniversalSF
from bfmkit.components.feature_maps.hilp_state import HilpStateFeatures
from bfmkit.components.feature_maps.identity import IdentityFeatures
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.objective import SPEC, transitions


class TestUniversalSF(BFMContract):
    def make(self) -> UniversalSF:
        torch.manual_seed(0)
        networks = TwoStreamNetworks(16, 16, 2)
        return UniversalSF(SPEC, HilpStateFeatures(SPEC, networks, dim=6), networks)

    def test_has_the_features_of_its_map_on_standardised_observations(self) -> None:
        bfm = UniversalSF(SPEC, IdentityFeatures(SPEC), TwoStreamNetworks(16, 16, 2))
        observations = 7 + 3 * torch.randn(4000, 5)
        bfm.fit_observation_scale(observations)
        features = bfm.features(observations, observations, observations)
        torch.testing.assert_close(features, (observations - observations.mean(0)) / observations.std(0))

    def test_takes_what_it_needs_from_data(self) -> None:
        bfm, data = self.make(), transitions(300)
        bfm.fit_features(data)
        with torch.no_grad():
            features = bfm.features(data["observation"], data["action"], data["next", "observation"])
        torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
        moment = features.double().mT @ features.double() / 300
        torch.testing.assert_close(bfm.feature_second_moment(), moment)
        assert {"second_moment", "feature_map.mean", "observation_mean"} <= set(bfm.state_dict())

    def test_refuses_a_discount_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="discount"):
            UniversalSF(SPEC, IdentityFeatures(SPEC), TwoStreamNetworks(16, 16), discount=1.0)
