"""Contract of families of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from bfmkit.interfaces import Networks
from bfmkit.models.layers import JoinedLinear

OBS, A, D = 5, 2, 6


class LinearNetworks(Networks):
    """Networks of one linear layer and one critic, whose optimum has a closed form."""

    def critic(self, observation_size: int, action_size: int, dim: int, outputs: int | None = None) -> nn.Module:
        return LinearCritic((observation_size, dim, action_size), dim if outputs is None else outputs)

    def actor(self, observation_size: int, action_size: int, dim: int) -> nn.Module:
        return LinearActor((observation_size, dim), action_size)

    def encoder(self, observation_size: int, dim: int) -> nn.Module:
        return nn.Linear(observation_size, dim)


class LinearCritic(JoinedLinear):
    """Linear critic, E = 1."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs).unsqueeze(-2)


class LinearActor(JoinedLinear):
    """Linear actor, bounded by tanh."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.tanh(super().forward(*inputs))


class NetworksContract(ABC):
    """Contract of architectures: subclass it in a test and build a small one in ``make``."""

    @abstractmethod
    def make(self) -> Networks:
        """The family under test."""

    def test_shapes(self) -> None:
        torch.manual_seed(0)
        family = self.make()
        critic, actor, encoder = family.critic(OBS, A, D), family.actor(OBS, A, D), family.encoder(OBS, D)
        for batch in ((), (4,), (3, 2)):
            s, z, a = torch.randn(*batch, OBS), torch.randn(*batch, D), torch.rand(*batch, A)
            value = critic(s, z, a)
            assert value.shape[:-2] == batch
            assert value.shape[-1] == D
            assert actor(s, z).shape == (*batch, A)
            assert encoder(s).shape == (*batch, D)
        wide = family.critic(OBS, A, D, outputs=D + 3)
        assert wide(torch.randn(4, OBS), torch.randn(4, D), torch.rand(4, A)).shape[-1] == D + 3

    def test_one_observation_meets_many_candidates(self) -> None:
        torch.manual_seed(0)
        family = self.make()
        critic, actor = family.critic(OBS, A, D).double(), family.actor(OBS, A, D).double()
        s, z = torch.randn(3, 1, OBS).double(), torch.randn(3, 7, D).double()
        everywhere = s.expand(3, 7, OBS)
        action = actor(s, z)
        torch.testing.assert_close(action, actor(everywhere, z))
        torch.testing.assert_close(critic(s, z, action), critic(everywhere, z, action))

    def test_actions_are_bounded(self) -> None:
        torch.manual_seed(0)
        actor = self.make().actor(OBS, A, D)
        assert actor(100 * torch.randn(64, OBS), 100 * torch.randn(64, D)).abs().max() <= 1

    def test_every_input_matters(self) -> None:
        torch.manual_seed(0)
        critic = self.make().critic(OBS, A, D)
        inputs = [torch.randn(8, size, requires_grad=True) for size in (OBS, D, A)]
        gradients = torch.autograd.grad(critic(*inputs).square().sum(), inputs)
        assert all(gradient.abs().sum(0).min() > 0 for gradient in gradients)

    def test_ensemble_members_differ(self) -> None:
        torch.manual_seed(0)
        value = self.make().critic(OBS, A, D)(torch.randn(4, OBS), torch.randn(4, D), torch.rand(4, A))
        if value.shape[-2] > 1:
            assert (value[..., 0, :] - value[..., 1, :]).abs().max() > 1e-3
