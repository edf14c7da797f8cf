from __future__ import annotations

import pytest
import torch

from bfmkit.models.layers import FastTanh, JoinedLinear


def test_a_joined_layer_is_a_layer_on_the_concatenation() -> None:
    torch.manual_seed(0)
    layer = JoinedLinear((3, 2), 4).double()
    x, y = torch.randn(5, 1, 3).double(), torch.randn(5, 6, 2).double()
    joined = torch.cat([x.expand(5, 6, 3), y], -1)
    torch.testing.assert_close(layer(x, y), joined @ layer.weight.T + layer.bias)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-7), (torch.float64, 1e-15)])
def test_the_fast_tanh_is_tanh(dtype: torch.dtype, error: float) -> None:
    x = torch.cat([torch.linspace(-20, 20, 100_001), torch.tensor([0.0, -0.0, 1e-8, torch.inf, -torch.inf])]).to(dtype)
    exact = torch.tanh(x.double())
    with torch.no_grad():
        assert (FastTanh()(x.clone()) - exact).abs().max() < error
    leaf = x[:-2].clone().requires_grad_()
    FastTanh()(leaf + 0.0).sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad - (1 - exact[:-2].square())).abs().max() < 3 * error
    assert FastTanh()(torch.tensor([torch.nan])).isnan()
