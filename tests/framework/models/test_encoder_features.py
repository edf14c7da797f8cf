from __future__ import annotations

import pytest
import torch

from bfmkit.models.encoder_features import EncodedFeatures, require_encoder
from bfmkit.testing.feature_objective import NothingToTrain
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


def test_another_network_can_stand_in() -> None:
    features = EncodedFeatures(SPEC, LinearNetworks(), dim=3, normalised=True)
    other, s = torch.nn.Linear(5, 3), torch.randn(4, 5)
    torch.testing.assert_close(features.encode(s, other), 3**0.5 * torch.nn.functional.normalize(other(s), dim=-1))
    torch.testing.assert_close(features.encode(s), features.features(s, s, s))


def test_only_what_can_be_trained_counts_as_an_encoder() -> None:
    features = EncodedFeatures(SPEC, LinearNetworks(), dim=3, normalised=True)
    assert require_encoder(features, "test") is features
    with pytest.raises(TypeError, match="the test objective cannot train NothingToTrain"):
        require_encoder(NothingToTrain(), "test")
    with pytest.raises(TypeError, match="EncodedFeatures"):
        require_encoder(features.requires_grad_(False), "test")
