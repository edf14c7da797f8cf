from __future__ import annotations

import torch
from torch import nn

from bfmkit.training.ema import frozen_copy, move_towards


def test_moves_by_the_rate_and_leaves_the_original() -> None:
    layer = nn.Linear(2, 2)
    average = frozen_copy(layer)
    start = average.weight.clone()
    assert not average.weight.requires_grad
    with torch.no_grad():
        layer.weight.add_(1.0)
    kept = layer.weight.clone()
    move_towards(average, layer, 0.25)
    torch.testing.assert_close(average.weight, start + 0.25)
    assert torch.equal(layer.weight, kept)


def test_a_rate_of_one_copies_buffers_too() -> None:
    layer = nn.BatchNorm1d(2)
    average = frozen_copy(layer)
    layer.running_mean.add_(1.0)
    move_towards(average, layer, 1.0)
    assert torch.equal(average.running_mean, layer.running_mean)
