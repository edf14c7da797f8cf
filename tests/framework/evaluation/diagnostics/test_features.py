from __future__ import annotations

import math

import pytest
import torch

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.evaluation.diagnostics.features import (
    condition_number,
    effective_dimension,
    effective_rank,
    feature_spectrum,
    leading_share,
)
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.testing.models import LinearBFM


def test_rank_is_the_exponential_of_the_entropy() -> None:
    assert effective_rank(torch.ones(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([5.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rank(torch.zeros(3)) == 0
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert effective_rank(100 * shares) == pytest.approx(2**1.5)


def test_dimension_counts_directions_that_labels_tell_of() -> None:
    spectrum = torch.tensor([1.0, 1e-3, 0.0], dtype=torch.float64)
    assert effective_dimension(spectrum, 1000) == pytest.approx(1000 / 1001 + 0.5)
    assert effective_dimension(spectrum, 1000, regularization=1e-9) == pytest.approx(2)


def test_the_leading_share_is_that_of_the_large_eigenvectors() -> None:
    features = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    weights = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 3.0]])
    # The moment is diag(4.5, 0.5), of an effective rank of 1.4: what is expressed lies at 4.5 w₁² and 0.5 w₂².
    expected = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(leading_share(features, weights), expected)
    assert leading_share(features, torch.zeros(1, 2)).isnan().all()


def test_the_leading_directions_are_half_the_effective_rank() -> None:
    scales = torch.tensor([4.0, 3.99, 3.98, 3.97])  # four directions, of about the same size
    assert leading_share(scales.diag(), scales.reciprocal()[None]).item() == pytest.approx(0.5)


def test_condition_is_the_ratio_of_the_ends() -> None:
    assert condition_number(torch.tensor([8.0, 4.0, 2.0], dtype=torch.float64)) == pytest.approx(4)
    assert condition_number(torch.tensor([1.0, 1e-20], dtype=torch.float64)) == math.inf


def test_spectrum_is_that_of_the_second_moment() -> None:
    features = torch.tensor([[3.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    found = feature_spectrum(LinearBFM(2), features)
    torch.testing.assert_close(found, torch.tensor([4.5, 0.5], dtype=torch.float64))


def test_a_collapse_shows_although_the_features_were_divided_by_their_moment() -> None:
    spec = EnvironmentSpec("any", 5, 2, 1, 100, 0.1, ("a",))
    torch.manual_seed(0)
    bfm = ForwardBackward(spec, TwoStreamNetworks(16, 16, 2), dim=6).requires_grad_(False)
    last = bfm.backward_network[-1]
    last.weight.mul_(1e-6)
    last.bias.copy_(torch.arange(6.0))
    states = torch.randn(500, 5)
    bfm.fit_second_moment(states)
    features = bfm.features(states, states[:, :2], states)
    assert effective_rank(feature_spectrum(bfm, features)) == pytest.approx(1, abs=1e-3)
    assert condition_number(feature_spectrum(bfm, features)) > 1e5
