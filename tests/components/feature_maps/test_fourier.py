from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bfmkit.components.feature_maps.fourier import FourierFeatures
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.objective import SPEC

NAMED = replace(SPEC, observation_size=5, observation_names=("height", "speed", "lean", "spin", "other"))


class TestFourierFeatures(FeatureMapContract):
    def make(self) -> FourierFeatures:
        return FourierFeatures(NAMED, ["speed", "spin"], dim=7)


def values(features: FourierFeatures, x: torch.Tensor) -> torch.Tensor:
    return features.features(torch.zeros_like(x), x[..., :2], x)


def test_entries_are_read_by_name_and_no_others() -> None:
    features, x = TestFourierFeatures().make(), torch.randn(6, 5)
    other = x.clone()
    other[:, [0, 2, 4]] = 9.0
    assert torch.equal(values(features, x), values(features, other))
    # The same names at other places are the same features.
    moved = FourierFeatures(
        replace(NAMED, observation_names=("spin", "height", "speed", "a", "b")), ["speed", "spin"], 7
    )
    assert torch.equal(values(moved, x[:, [3, 0, 1, 2, 4]]), values(features, x))


def test_each_feature_reads_as_many_entries_as_it_may() -> None:
    names = list(NAMED.observation_names)
    for count in (1, 2, 3):
        features = FourierFeatures(NAMED, names, dim=200, entries_per_feature=count)
        assert ((features.frequencies != 0).sum(0) == count).all()


def test_they_approximate_the_gaussian_kernel() -> None:
    """E[φ(x)ᵀφ(y)] / d -> exp(−scale² ‖x − y‖² / 2) where every feature reads all entries."""
    names = list(NAMED.observation_names)
    features = FourierFeatures(NAMED, names, dim=20_001, scale=0.7, entries_per_feature=5)
    x, y = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    product = values(features, x)[:-1] @ values(features, y)[:-1] / 20_000
    assert product.item() == pytest.approx(torch.exp(-0.49 * (x - y).square().sum() / 2).item(), abs=0.02)


def test_the_last_feature_is_the_constant_and_what_lies_beyond_the_clip_looks_alike() -> None:
    features = TestFourierFeatures().make()
    far = values(features, torch.full((1, 5), 7.0))
    assert far[0, -1] == 1
    assert torch.equal(far, values(features, torch.full((1, 5), 70.0)))


def test_the_seed_gives_the_same_features_again() -> None:
    x = torch.randn(3, 5)
    first, again, other = (FourierFeatures(NAMED, ["lean"], 9, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(values(first, x), values(again, x))
    assert not torch.equal(values(first, x), values(other, x))


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match='no entry "hight"; did you mean "height"'):
        FourierFeatures(NAMED, ["hight"])
    with pytest.raises(ValueError, match="need entries"):
        FourierFeatures(NAMED, [])
    with pytest.raises(ValueError, match="scale"):
        FourierFeatures(NAMED, ["height"], scale=0.0)
