from __future__ import annotations

import pytest
import torch

from bfmkit.components.networks.fourier import FourierNetworks
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.testing.networks import LinearNetworks, NetworksContract


class TestFourierNetworks(NetworksContract):
    def make(self) -> FourierNetworks:
        return FourierNetworks(TwoStreamNetworks(width=16, encoder_width=12, num_critics=2), num_frequencies=8)


def test_even_a_linear_family_tells_near_places_apart() -> None:
    torch.manual_seed(0)
    place, target = torch.linspace(-1, 1, 60).unsqueeze(-1), (6 * torch.linspace(-1, 1, 60)).cos()

    def misfit(frequency: float) -> float:
        encoder = FourierNetworks(LinearNetworks(), num_frequencies=32, frequency=frequency).encoder(1, 1)
        inputs: list[torch.Tensor] = []
        encoder.network.register_forward_hook(lambda module, given, result: inputs.append(given[0]))
        encoder(place)
        weights = torch.linalg.lstsq(inputs[0].double(), target.double().unsqueeze(-1), driver="gelsd").solution
        return (inputs[0] @ weights.float() - target.unsqueeze(-1)).abs().max().item()

    assert misfit(4.0) < 0.02


def test_waves_are_not_trained_and_are_stored() -> None:
    actor = FourierNetworks(LinearNetworks(), num_frequencies=3).actor(2, 1, 4)
    assert {"frequencies", "phases"} <= set(actor.state_dict())
    assert not {"frequencies", "phases"} & {name for name, _ in actor.named_parameters()}


def test_refuses_numbers_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="num_frequencies"):
        FourierNetworks(LinearNetworks(), num_frequencies=0)
    with pytest.raises(ValueError, match="frequency"):
        FourierNetworks(LinearNetworks(), frequency=0.0)
