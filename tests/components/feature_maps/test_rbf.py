from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_maps.rbf import RBFFeatures
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.objective import SPEC


class TestRBFFeatures(FeatureMapContract):
    def make(self) -> RBFFeatures:
        return RBFFeatures(SPEC, grid_size=3)


def test_a_reward_at_one_place_is_nearly_one_weight() -> None:
    features = RBFFeatures(SPEC, grid_size=5, extent=2.0, bandwidth=0.5)
    place = 4 * torch.rand(4000, SPEC.observation_size, generator=torch.Generator().manual_seed(0)) - 2
    value = features.features(place, place[:, :2], place)
    reward = torch.exp(-2 * ((place[:, :2] - torch.tensor([1.0, 0.0])) ** 2).sum(-1))
    weights = torch.linalg.lstsq(value, reward.unsqueeze(-1)).solution.squeeze(-1)
    at = int(weights.argmax())
    assert torch.equal(features.centres[at], torch.tensor([1.0, 0.0]))
    assert weights[at] == pytest.approx(1, abs=1e-3)
    assert weights[torch.arange(25) != at].abs().max() < 1e-3


def test_refuses_numbers_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="grid_size"):
        RBFFeatures(SPEC, grid_size=1)
    with pytest.raises(ValueError, match="extent"):
        RBFFeatures(SPEC, extent=0.0)
    with pytest.raises(ValueError, match="need entries"):
        RBFFeatures(SPEC, entries=[])


def test_lies_over_the_named_entries() -> None:
    spec = EnvironmentSpec("line", 3, 1, 1, 100, 0.1, ("a",), observation_names=("x", "y", "speed"))
    place = torch.randn(7, 3)
    line = RBFFeatures(spec, entries=["speed"], grid_size=4)
    assert line.features(place, place[:, :1], place).shape == (7, 4)
    swapped = RBFFeatures(spec, entries=["speed", "x"], grid_size=3)
    plain = RBFFeatures(EnvironmentSpec("line", 2, 1, 1, 100, 0.1, ("a",)), grid_size=3)
    expected = plain.features(place[:, [2, 0]], place[:, :1], place[:, [2, 0]])
    assert torch.equal(swapped.features(place, place[:, :1], place), expected)
