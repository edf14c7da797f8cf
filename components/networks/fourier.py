"""Networks on random Fourier features of the observation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bfmkit.interfaces import Networks
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt


@register(Networks, "fourier")
class FourierNetworks(Networks):
    """Another family of networks on observations with random Fourier features of them; z and actions stay.

        s -> [s, √2 cos(Ωᵀs + b)],   Ω ~ N(0, frequency²),   b ~ U(0, 2π), fixed as drawn

    Few observations (a maze) are a small part of what a network reads beside z, and what it learns of them first is
    smooth: waves let it tell near places apart from the start.

    Args:
        networks: the family.
        num_frequencies: how many.
        frequency: standard deviation of Ω, for standardised observations.

    Raises:
        ValueError: if a number is not positive.

    Example:
        ``networks: {type: fourier, networks: {type: residual}, num_frequencies: 64}``

    Reference:
        Tancik et al., Fourier features let networks learn high frequency functions in low dimensional domains, 2020;
        for values, Yang et al., Overcoming the spectral bias of neural value approximation, 2022.
    """

    def __init__(self, networks: Networks, num_frequencies: PositiveInt = 64, frequency: PositiveFloat = 1.0) -> None:
        self.networks, self.num_frequencies, self.frequency = networks, num_frequencies, frequency

    def critic(self, observation_size: int, action_size: int, dim: int, outputs: int | None = None) -> nn.Module:
        """(observation, z, action) -> (*b, E, outputs)."""
        inner = self.networks.critic(observation_size + self.num_frequencies, action_size, dim, outputs)
        return self._behind_waves(observation_size, inner)

    def actor(self, observation_size: int, action_size: int, dim: int) -> nn.Module:
        """(observation, z) -> (*b, a)."""
        return self._behind_waves(
            observation_size, self.networks.actor(observation_size + self.num_frequencies, action_size, dim)
        )

    def encoder(self, observation_size: int, dim: int) -> nn.Module:
        """observation -> (*b, d)."""
        return self._behind_waves(observation_size, self.networks.encoder(observation_size + self.num_frequencies, dim))

    def _behind_waves(self, observation_size: int, network: nn.Module) -> nn.Module:
        return BehindWaves(network, self.frequency * torch.randn(observation_size, self.num_frequencies))


class BehindWaves(nn.Module):
    """A network whose first input is an observation and its waves."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, network: nn.Module, frequencies: Tensor) -> None:  # (o, waves)
        super().__init__()
        self.network = network
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", 2 * math.pi * torch.rand(frequencies.shape[1]))

    def forward(self, observation: Tensor, *others: Tensor) -> Tensor:
        """Whatever the network gives."""
        num_frequencies = math.sqrt(2) * torch.cos(observation @ self.frequencies + self.phases)
        return self.network(torch.cat([observation, num_frequencies], dim=-1), *others)
