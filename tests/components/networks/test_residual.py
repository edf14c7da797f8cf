from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bfmkit.components.networks.residual import ResidualNetworks
from bfmkit.testing.networks import NetworksContract


class TestResidualNetworks(NetworksContract):
    def make(self) -> ResidualNetworks:
        return ResidualNetworks(width=16, encoder_width=12, blocks=2, num_critics=3)

    def test_critics_side_by_side_are_critics_one_by_one(self) -> None:
        torch.manual_seed(0)
        critics = self.make().critic(5, 2, 6).double()
        with torch.no_grad():
            for parameter in critics.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        inputs = [torch.randn(4, size, dtype=torch.float64) for size in (5, 6, 2)]
        found = critics(*inputs)
        for member in range(3):
            rows = slice(16 * member, 16 * member + 16)
            x = functional.linear(torch.cat(inputs, -1), critics.joined.weight[rows], critics.joined.bias[rows])

            def normalised(x: torch.Tensor, number: int, member: int = member) -> torch.Tensor:
                scale, shift = critics.scales[number, member, 0], critics.shifts[number, member, 0]
                return functional.mish(functional.layer_norm(x, (16,), scale, shift))

            for number, block in enumerate(critics.blocks):
                x = x + normalised(x, number) @ block.weight[member] + block.bias[member]
            expected = normalised(x, 2) @ critics.out.weight[member] + critics.out.bias[member]
            torch.testing.assert_close(found[:, member], expected)

    def test_refuses_sizes_that_make_no_sense(self) -> None:
        for name in ("width", "encoder_width", "blocks", "num_critics"):
            with pytest.raises(ValueError, match=name):
                ResidualNetworks(**{name: 0})
