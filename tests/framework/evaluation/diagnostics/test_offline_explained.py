from __future__ import annotations

import pytest
import torch

from bfmkit.evaluation.diagnostics.offline import explained_variance


def test_what_is_linear_is_explained_and_noise_is_not() -> None:
    torch.manual_seed(0)
    features = torch.randn(20_000, 3, dtype=torch.float64)
    signal = features @ torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)  # variance 9
    rewards = torch.stack([signal, signal + 3 * torch.randn(20_000), torch.randn(20_000).double()], dim=-1)
    found = explained_variance(features, rewards)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64), atol=0.03, rtol=0)


def test_one_direction_explains_its_share() -> None:
    """Features collapsed to one direction: of a reward that is the sum of four, a quarter."""
    torch.manual_seed(1)
    features = torch.randn(20_000, 4, dtype=torch.float64)
    collapsed = features[:, :1].expand(-1, 4)
    assert float(explained_variance(collapsed, features.sum(-1, keepdim=True))) == pytest.approx(0.25, abs=0.03)


def test_as_many_features_as_labels_explain_nothing_new() -> None:
    torch.manual_seed(2)
    found = explained_variance(torch.randn(100, 50), torch.randn(100, 1))
    assert float(found) < 0


def test_a_constant_reward_has_nothing_to_explain() -> None:
    assert explained_variance(torch.randn(50, 2), torch.full((50, 1), 0.3)).isnan().all()
