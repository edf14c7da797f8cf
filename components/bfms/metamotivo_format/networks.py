"""Networks of the Meta Motivo format, with its names for tensors.

Networks of E members hold weights (E, in, out) and biases (E, 1, out), and work on (E, n, ...); of one member they are
ordinary layers and work on (n, ...).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bfmkit.models.layers import FastTanh

EPSILON = 1e-5


class Shape(NamedTuple):
    """How F or π is laid out."""

    model: str  # simple or residual
    hidden: int
    layers: int  # of the trunk
    embedding_layers: int


class MembersLinear(nn.Module):
    """E linear layers: (E, n, in) -> (E, n, out)."""

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """One product a member."""
        return torch.baddbmm(self.bias, x, self.weight)


class MembersNorm(nn.Module):
    """E layer norms: (E, n, size) -> (E, n, size)."""

    def __init__(self, size: int, members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, size))
        self.bias = nn.Parameter(torch.zeros(members, 1, size))

    def forward(self, x: Tensor) -> Tensor:
        """Each member scales in its own way."""
        return functional.layer_norm(x, x.shape[-1:], eps=EPSILON) * self.weight + self.bias


class Block(nn.Module):
    """LayerNorm, linear, Mish; an inner one adds its input, a last one has no Mish."""

    def __init__(self, inputs: int, outputs: int, members: int, adds: bool = False, last: bool = False) -> None:
        super().__init__()
        layers = [_norm(inputs, members), _linear(inputs, outputs, members)]
        self.mlp = nn.Sequential(*layers, *([] if last else [nn.Mish()]))
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        """The block of x, plus x if it adds."""
        return self.mlp(x) + x if self.adds else self.mlp(x)


def embedding(model: str, inputs: int, hidden: int, layers: int, members: int) -> nn.Sequential:
    """From the inputs to half the hidden width; ``model`` is ``simple`` or ``residual``."""
    half = hidden // 2
    if model == "residual":
        inner = [Block(hidden, hidden, members, adds=True) for _ in range(layers - 2)]
        return nn.Sequential(Block(inputs, hidden, members), *inner, Block(hidden, half, members))
    between = _rectified([hidden] * (layers - 1), members)
    first = [_linear(inputs, hidden, members), _norm(hidden, members), FastTanh()]
    return nn.Sequential(*first, *between, *_rectified([hidden, half], members))


def trunk(model: str, hidden: int, layers: int, outputs: int, members: int) -> nn.Sequential:
    """From two embeddings side by side to the outputs."""
    if model == "residual":
        inner = [Block(hidden, hidden, members, adds=True) for _ in range(layers)]
        return nn.Sequential(*inner, Block(hidden, outputs, members, last=True))
    return nn.Sequential(*_rectified([hidden] * (layers + 1), members), _linear(hidden, outputs, members))


class ForwardMap(nn.Module):
    """F: embeddings of (s, a) and of (s, z), and a trunk on both; sizes are those of s, a and z."""

    def __init__(self, shape: Shape, sizes: tuple[int, int, int], members: int) -> None:
        super().__init__()
        observation, action, dim = sizes
        model, hidden, layers, embedding_layers = shape
        self.embed_sa = embedding(model, observation + action, hidden, embedding_layers, members)
        self.embed_z = embedding(model, observation + dim, hidden, embedding_layers, members)
        self.Fs = trunk(model, hidden, layers, dim, members)
        self.members = members

    def forward(self, observation: Tensor, z: Tensor, action: Tensor) -> Tensor:  # (*b, E, d)
        """Inputs broadcast; what does not depend on z is worked out once."""
        left = self._embedded(self.embed_sa, observation, action)
        right = self._embedded(self.embed_z, observation, z)
        joined = _joined(left, right)  # (E, *b, h)
        found = self.Fs(joined.reshape(self.members, -1, joined.shape[-1]) if self.members > 1 else joined[0])
        return found.reshape(*joined.shape[:-1], -1).movedim(0, -2)

    def _embedded(self, network: nn.Module, *inputs: Tensor) -> Tensor:  # (E, *b, h/2)
        x = _joined(*inputs)
        flat = x.reshape(-1, x.shape[-1])
        found = network(flat.expand(self.members, -1, -1) if self.members > 1 else flat)
        return found.reshape(self.members, *x.shape[:-1], -1)


class Actor(nn.Module):
    """π: embeddings of s and of (s, z), and a trunk on both; sizes are those of s, a and z."""

    def __init__(self, shape: Shape, sizes: tuple[int, int, int]) -> None:
        super().__init__()
        observation, action, dim = sizes
        model, hidden, layers, embedding_layers = shape
        self.embed_s = embedding(model, observation, hidden, embedding_layers, 1)
        self.embed_z = embedding(model, observation + dim, hidden, embedding_layers, 1)
        self.policy = trunk(model, hidden, layers, action, 1)

    def forward(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """The mean action, in [-1, 1]."""
        right = self.embed_z(_joined(observation, z))
        return torch.tanh(self.policy(_joined(self.embed_s(observation), right)))


class BackwardMap(nn.Module):
    """B before it is brought to its length."""

    def __init__(self, observation: int, hidden: int, layers: int, dim: int) -> None:
        super().__init__()
        first = [nn.Linear(observation, hidden), nn.LayerNorm(hidden, eps=EPSILON), FastTanh()]
        self.net = nn.Sequential(*first, *_rectified([hidden] * layers, 1), nn.Linear(hidden, dim))

    def forward(self, observation: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """Any batch."""
        return self.net(observation)


def _rectified(widths: list[int], members: int) -> list[nn.Module]:
    """A linear layer and a ReLU from each width to the next."""
    return [layer for inputs, outputs in pairwise(widths) for layer in (_linear(inputs, outputs, members), nn.ReLU())]


def _linear(inputs: int, outputs: int, members: int) -> nn.Module:
    return nn.Linear(inputs, outputs) if members == 1 else MembersLinear(inputs, outputs, members)


def _norm(size: int, members: int) -> nn.Module:
    return nn.LayerNorm(size, eps=EPSILON) if members == 1 else MembersNorm(size, members)


def _joined(*parts: Tensor) -> Tensor:
    """Side by side, batch dimensions broadcast."""
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], dim=-1)
