"""Two-stream networks of the forward-backward papers: two embeddings and a trunk."""

from __future__ import annotations

from typing import Annotated, TypeVar, cast

import torch
from annotated_types import Ge, MultipleOf
from torch import Tensor, nn

from bfmkit.interfaces import Networks
from bfmkit.models.layers import Chain, FastTanh, TwoEmbeddings
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat, PositiveInt

N = TypeVar("N", bound=nn.Module)


@register(Networks, "two_stream")
class TwoStreamNetworks(Networks):
    """Two-stream networks: embeddings of (s, a) and (s, z), or s and (s, z), and a trunk that reads both.

    An embedding is linear, LayerNorm, tanh, linear to half the width, ReLU; the trunk linear, ReLU, linear. Weights
    are orthogonal, biases zero, but for ``first_bias``.

    Args:
        width: hidden units of critic and actor; even.
        encoder_width: hidden units of the encoder.
        num_critics: E, critics in the ensemble; they share nothing.
        first_bias: standard deviation of the biases of first layers at the start. At zero, LayerNorm sees only the
            direction of its input there, not its length: places along one ray look alike until biases are learnt,
            which few observations make a matter of (a maze), many do not.

    Raises:
        ValueError: if ``width`` is odd, ``first_bias`` negative or another number not positive.

    Example:
        ``networks: {type: two_stream, width: 512}``

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023, appendix on architectures.
    """

    def __init__(
        self,
        width: Annotated[int, Ge(1), MultipleOf(2)] = 1024,
        encoder_width: PositiveInt = 256,
        num_critics: PositiveInt = 2,
        first_bias: NonNegativeFloat = 0.0,
    ) -> None:
        self.width, self.encoder_width, self.num_critics = width, encoder_width, num_critics
        self.first_bias = first_bias

    def critic(self, observation_size: int, action_size: int, dim: int, outputs: int | None = None) -> nn.Module:
        """F: (observation, z, action) -> (*b, E, d)."""
        left, right = (observation_size, action_size), (observation_size, dim)
        members = [
            self._started(TwoEmbeddings(left, right, self.width, dim if outputs is None else outputs))
            for _ in range(self.num_critics)
        ]
        return CriticEnsemble(members)

    def actor(self, observation_size: int, action_size: int, dim: int) -> nn.Module:
        """π: (observation, z) -> (*b, a)."""
        return Actor(
            self._started(TwoEmbeddings((observation_size,), (observation_size, dim), self.width, action_size))
        )

    def encoder(self, observation_size: int, dim: int) -> nn.Module:
        """B before its normalisation: observation -> (*b, d)."""
        h = self.encoder_width
        layers = Chain(
            nn.Linear(observation_size, h), nn.LayerNorm(h), FastTanh(), nn.Linear(h, h), nn.ReLU(), nn.Linear(h, dim)
        )
        return self._started(layers)

    def _started(self, network: N) -> N:
        """Initialise: a linear layer right before a LayerNorm is a first one."""
        modules = list(network.modules())
        for module, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight)
                nn.init.normal_(module.bias, std=self.first_bias if isinstance(following, nn.LayerNorm) else 0.0)
        return network


class CriticEnsemble(nn.Module):
    """E independent critics of the same input."""

    def __init__(self, members: list[TwoEmbeddings]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def embed(self, observation: Tensor, z: Tensor) -> tuple[Tensor, ...]:  # E of (*b, width / 2)
        """Each member's embedding of (s, z), for calls that differ in the action alone."""
        return tuple(cast(TwoEmbeddings, member).right(observation, z) for member in self.members)

    def forward(self, observation: Tensor, z: Tensor, action: Tensor, *embedded: Tensor) -> Tensor:  # (*b, E, d)
        """F(s, a, z) by each member; ``embedded`` is what :meth:`embed` gives, if that is there already."""
        # One product a member: on a CPU two plain products are faster than one batched product of two.
        embeddings: tuple[Tensor | None, ...] = embedded or (None,) * len(self.members)
        inputs = (observation, action), (observation, z)
        values = [member(*inputs, right) for member, right in zip(self.members, embeddings, strict=True)]
        return torch.stack(values, dim=-2)


class Actor(nn.Module):
    """A deterministic policy in [-1, 1]."""

    def __init__(self, body: TwoEmbeddings) -> None:
        super().__init__()
        self.body = body

    def forward(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """The mean action."""
        return torch.tanh(self.body((observation,), (observation, z)))
