from __future__ import annotations

import pytest
import torch

from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.testing.networks import NetworksContract


class TestTwoStreamNetworks(NetworksContract):
    def make(self) -> TwoStreamNetworks:
        return TwoStreamNetworks(width=16, encoder_width=12, num_critics=2)

    def test_has_the_papers_number_of_parameters(self) -> None:
        # Walker, d = 50: critic 2.25 million a member, actor 2.20, encoder 0.084, not counting biases.
        family = TwoStreamNetworks(width=1024, encoder_width=256, num_critics=1)
        modules = (family.critic(24, 6, 50), family.actor(24, 6, 50), family.encoder(24, 50))
        counts = [sum(p.numel() for p in module.parameters() if p.ndim == 2) / 1e6 for module in modules]
        assert counts == pytest.approx([2.25, 2.20, 0.084], rel=0.01)

    def test_the_first_bias_tells_lengths_apart(self) -> None:
        torch.manual_seed(0)
        place = torch.randn(6, 3).double()
        encoders = {bias: TwoStreamNetworks(16, 16, first_bias=bias).encoder(3, 4).double() for bias in (0.0, 1.0)}
        same = {bias: torch.allclose(net(place), net(2 * place), atol=1e-3) for bias, net in encoders.items()}
        assert same == {0.0: True, 1.0: False}

    def test_critics_take_an_embedding_of_s_and_z_for_other_actions(self) -> None:
        torch.manual_seed(0)
        critic = self.make().critic(3, 2, 4).double()
        s, z, (first, second) = torch.randn(5, 3).double(), torch.randn(5, 4).double(), torch.rand(2, 5, 2).double()
        embedding = critic.embed(s, z)
        torch.testing.assert_close(critic(s, z, first, *embedding), critic(s, z, first))
        torch.testing.assert_close(critic(s, z, second, *embedding), critic(s, z, second))

    def test_refuses_sizes_that_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="multiple of 2"):
            TwoStreamNetworks(width=5)
        with pytest.raises(ValueError, match="num_critics"):
            TwoStreamNetworks(num_critics=0)
