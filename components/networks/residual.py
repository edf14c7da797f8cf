"""Residual networks, their critics computed in one pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfmkit.interfaces import Networks
from bfmkit.models.layers import JoinedLinear
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Networks, "residual")
class ResidualNetworks(Networks):
    """Residual networks: a linear layer, blocks x + linear(Mish(LayerNorm(x))), a LayerNorm and a linear layer.

    The critics of the ensemble are one network with one more dimension, whose products are batched: on a GPU that is
    one launch where separate critics are E, on a CPU separate products are as fast. Weights are orthogonal, biases
    zero; blocks start at a tenth of that, close to the identity.

    Args:
        width: hidden units of critic and actor.
        encoder_width: hidden units of the encoder.
        blocks: of each network.
        num_critics: E, critics in the ensemble; they share nothing.

    Raises:
        ValueError: if a number is not positive.

    Example:
        ``networks: {type: residual, width: 512, blocks: 2}``

    Reference:
        He et al., Identity mappings in deep residual networks, 2016.
    """

    def __init__(
        self,
        width: PositiveInt = 1024,
        encoder_width: PositiveInt = 256,
        blocks: PositiveInt = 2,
        num_critics: PositiveInt = 2,
    ) -> None:
        self.width, self.encoder_width, self.blocks, self.num_critics = width, encoder_width, blocks, num_critics

    def critic(self, observation_size: int, action_size: int, dim: int, outputs: int | None = None) -> nn.Module:
        """ψ: (observation, z, action) -> (*b, E, d)."""
        sizes = (observation_size, dim, action_size)
        return ResidualCritics(sizes, self.width, self.blocks, dim if outputs is None else outputs, self.num_critics)

    def actor(self, observation_size: int, action_size: int, dim: int) -> nn.Module:
        """π: (observation, z) -> (*b, a)."""
        return ResidualActor((observation_size, dim), self.width, self.blocks, action_size)

    def encoder(self, observation_size: int, dim: int) -> nn.Module:
        """observation -> (*b, d)."""
        return ResidualNetwork((observation_size,), self.encoder_width, self.blocks, dim)


class ResidualNetwork(nn.Module):
    """One network of inputs that broadcast, to (*b, outputs)."""

    def __init__(self, sizes: tuple[int, ...], width: int, blocks: int, outputs: int) -> None:
        super().__init__()
        self.joined = JoinedLinear(sizes, width)
        self.normalise = nn.ModuleList([nn.LayerNorm(width) for _ in range(blocks + 1)])
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])
        self.out = nn.Linear(width, outputs)
        for layer in (self.joined, *self.blocks, self.out):
            nn.init.orthogonal_(layer.weight, gain=0.1 if layer in set(self.blocks) else 1.0)
            nn.init.zeros_(layer.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each of ``inputs`` (*b_i, size_i)."""
        x = self.joined(*inputs)
        for normalise, block in zip(self.normalise, self.blocks, strict=False):
            x = x + block(functional.mish(normalise(x)))
        return self.out(functional.mish(self.normalise[-1](x)))


class ResidualActor(ResidualNetwork):
    """A deterministic policy in [-1, 1]."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """The mean action."""
        return torch.tanh(super().forward(*inputs))


class ResidualCritics(nn.Module):
    """E networks of the same inputs, to (*b, E, outputs), one batched product a layer."""

    def __init__(self, sizes: tuple[int, ...], width: int, blocks: int, outputs: int, num_critics: int) -> None:
        super().__init__()
        self.num_critics, self.width = num_critics, width
        # First layers lie beside each other, so that what broadcasts is multiplied once, for all members.
        self.joined = JoinedLinear(sizes, num_critics * width)
        self.scales = nn.Parameter(torch.ones(blocks + 1, num_critics, 1, width))
        self.shifts = nn.Parameter(torch.zeros(blocks + 1, num_critics, 1, width))
        self.blocks = nn.ModuleList([MemberLinear(num_critics, width, width, gain=0.1) for _ in range(blocks)])
        self.out = MemberLinear(num_critics, width, outputs)
        with torch.no_grad():
            for part in self.joined.weight.split(width):
                part.copy_(nn.init.orthogonal_(torch.empty_like(part)))
        nn.init.zeros_(self.joined.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each of ``inputs`` (*b_i, size_i)."""
        first = self.joined(*inputs)  # (*b, E·width)
        batch = first.shape[:-1]
        x = first.reshape(math.prod(batch), self.num_critics, self.width).movedim(1, 0)  # (E, n, width)
        for number, block in enumerate(self.blocks):
            x = x + block(functional.mish(self._normalised(x, number)))
        value = self.out(functional.mish(self._normalised(x, len(self.blocks))))
        return value.movedim(0, 1).reshape(*batch, self.num_critics, -1)

    def _normalised(self, x: Tensor, number: int) -> Tensor:  # (E, n, width)
        return functional.layer_norm(x, (self.width,)) * self.scales[number] + self.shifts[number]


class MemberLinear(nn.Module):
    """A linear layer for each member, (E, n, inputs) -> (E, n, outputs)."""

    def __init__(self, num_critics: int, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        weights = [nn.init.orthogonal_(torch.empty(outputs, inputs), gain=gain).mT for _ in range(num_critics)]
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.zeros(num_critics, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """One batched product."""
        return torch.baddbmm(self.bias, x, self.weight)
