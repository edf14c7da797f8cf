from __future__ import annotations

import torch

from bfmkit.models.layers import JoinedLinear


def test_a_joined_layer_is_a_layer_on_the_concatenation() -> None:
    torch.manual_seed(0)
    layer = JoinedLinear((3, 2), 4).double()
    x, y = torch.randn(5, 1, 3).double(), torch.randn(5, 6, 2).double()
    joined = torch.cat([x.expand(5, 6, 3), y], -1)
    torch.testing.assert_close(layer(x, y), joined @ layer.weight.T + layer.bias)
