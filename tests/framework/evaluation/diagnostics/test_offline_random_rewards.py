from __future__ import annotations

import pytest
import torch

from bfmkit.evaluation.diagnostics.offline import random_weights


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (100.0, 1.0, 0.01), (1.0, 1.0, 0.0)])
def test_rewards_are_of_size_one_whatever_the_features_scale(scales: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    features = torch.randn(1000, 3, dtype=torch.float64) * torch.tensor(scales)
    rewards = features @ random_weights(features, 4000, 1).mT
    assert float(rewards.square().mean()) == pytest.approx(1, abs=0.05)


def test_each_seed_has_its_own() -> None:
    features = torch.randn(100, 3)
    assert torch.equal(random_weights(features, 2, 5), random_weights(features, 2, 5))
    assert not torch.equal(random_weights(features, 2, 5), random_weights(features, 2, 6))
