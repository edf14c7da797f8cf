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


def prepared(x: torch.Tensor, **settings: object) -> FourierFeatures:
    features = FourierFeatures(NAMED, **{"entries": ["speed", "spin"], **settings})
    features.prepare(x)
    return features


def test_entries_are_read_by_name_and_no_others() -> None:
    features, x = TestFourierFeatures().make(), torch.randn(6, 5)
    other = x.clone()
    other[:, [0, 2, 4]] = 9.0
    assert torch.equal(values(features, x), values(features, other))
    # The same names at other places are the same features.
    other_order = replace(NAMED, observation_names=("spin", "height", "speed", "a", "b"))
    moved = FourierFeatures(other_order, ["speed", "spin"], 7)
    assert torch.equal(values(moved, x[:, [3, 0, 1, 2, 4]]), values(features, x))


def test_without_names_all_entries_are_read() -> None:
    named = FourierFeatures(NAMED, list(NAMED.observation_names), dim=7)
    x = torch.randn(6, 5)
    assert torch.equal(values(FourierFeatures(NAMED, dim=7), x), values(named, x))


def test_each_wave_reads_as_many_entries_as_it_may() -> None:
    names = list(NAMED.observation_names)
    for count in (1, 2, 3):
        features = FourierFeatures(NAMED, names, entries_per_wave=count)
        assert ((features.frequencies != 0).sum(0) == count).all()


def test_all_directions_approximate_the_gaussian_kernel() -> None:
    """E[c(x)ᵀc(y)] / waves -> exp(−scale² ‖x − y‖² / 2) where every wave reads all entries."""
    names = list(NAMED.observation_names)
    features = FourierFeatures(NAMED, names, dim=20_001, num_frequencies=20_000, scale=0.7, entries_per_wave=5)
    x, y = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    product = (features._waves(x) @ features._waves(y) - 1) / 20_000
    assert product.item() == pytest.approx(torch.exp(-0.49 * (x - y).square().sum() / 2).item(), abs=0.02)


def test_directions_are_the_principal_ones_of_the_data() -> None:
    x = torch.randn(5000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 1.0, 0.3, 1.0])
    features = prepared(x, dim=6, num_frequencies=40)
    moment = values(features, x).mT @ values(features, x) / len(x)
    num_frequencies = features._waves(x)
    expected = torch.linalg.eigvalsh(num_frequencies.mT @ num_frequencies / len(x)).flip(0)[:6] * 6 / 41
    torch.testing.assert_close(moment, torch.diag(expected), atol=2e-4, rtol=1e-3)


def test_all_directions_together_lose_nothing_and_few_are_well_conditioned() -> None:
    x = torch.randn(3000, 5, generator=torch.Generator().manual_seed(0))
    whole, few = prepared(x, dim=31, num_frequencies=30), prepared(x, dim=10, num_frequencies=200)
    norms = whole._waves(x).norm(dim=-1)
    torch.testing.assert_close(values(whole, x).norm(dim=-1), norms, rtol=1e-4, atol=1e-4)
    spectrum = torch.linalg.svdvals(values(few, x)).square()
    assert spectrum[-1] > 1e-3 * spectrum.mean()


def test_what_lies_beyond_the_clip_looks_alike() -> None:
    features = TestFourierFeatures().make()
    assert torch.equal(values(features, torch.full((1, 5), 7.0)), values(features, torch.full((1, 5), 70.0)))


def test_seed_and_data_give_the_same_features_again() -> None:
    x = torch.randn(300, 5)
    first, again, other = (prepared(x, dim=9, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(values(first, x), values(again, x))
    assert not torch.equal(values(first, x), values(other, x))


def test_refuses_what_makes_no_sense() -> None:
    for settings, message in (
        ({"entries": ["hight"]}, 'no entry "hight"; did you mean "height"'),
        ({"entries": []}, "need entries"),
        ({"scale": 0.0}, "scale"),
        ({"dim": 33, "num_frequencies": 31}, "at most num_frequencies"),
    ):
        with pytest.raises(ValueError, match=message):
            FourierFeatures(NAMED, **{"entries": ["height"], **settings})
