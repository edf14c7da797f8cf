from __future__ import annotations

import pytest
import torch
from torch import nn

from bfmkit.models.layers import Chain, Embedding, FastTanh, JoinedLinear


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


def test_a_chain_is_a_sequence_of_layers_whose_hooks_are_heard() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.LayerNorm(4), FastTanh(), nn.Linear(4, 4, bias=False), nn.ReLU(), Embedding((4,), 2)]
    chain, x, heard = Chain(*layers), torch.randn(5, 3), []
    assert torch.equal(chain(x), nn.Sequential(*layers)(x))
    modules = [each for each in chain.modules() if each is not chain]
    for module in modules:
        module.register_forward_hook(lambda module, given, result: heard.append(module))
    chain(x)
    assert set(heard) == set(modules)
    modules[0].register_forward_pre_hook(lambda module, given: (torch.zeros_like(given[0]),))
    assert torch.equal(chain(x), chain(torch.zeros_like(x)))
