"""Layers: a linear layer on broadcast-concatenated inputs, and the projection to the sphere."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class JoinedLinear(nn.Linear):
    """A linear layer on the concatenation of inputs whose batch dimensions broadcast.

    An input that is the same for many rows (one observation, k candidates) is multiplied once, not k times.
    """

    def __init__(self, sizes: tuple[int, ...], outputs: int) -> None:
        super().__init__(sum(sizes), outputs)
        self.sizes = sizes

    def forward(self, *inputs: Tensor) -> Tensor:
        """Each of ``inputs`` (*b_i, size_i); gives (*b, outputs) with *b the broadcast of all *b_i."""
        if len(inputs) == 1:
            return functional.linear(inputs[0], self.weight, self.bias)
        if all(x.shape[:-1] == inputs[0].shape[:-1] for x in inputs):
            return functional.linear(torch.cat(inputs, -1), self.weight, self.bias)
        first, *others = self.weight.split(self.sizes, dim=1)
        total = functional.linear(inputs[0], first, self.bias)
        for x, weight in zip(inputs[1:], others, strict=True):
            total = total + functional.linear(x, weight)
        return total


def project(x: Tensor) -> Tensor:  # (*b, d)
    """√d · x / ‖x‖, and zero for x = 0."""
    # The norm in float64, for the squares of weights that explain tiny rewards are nothing in float32.
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float64)
    # Divided by one where it is zero, as of a row that no hidden unit answers to: with any smaller number its gradient
    # is not finite.
    norm = norm + (norm == 0)
    return (x / norm).mul_(math.sqrt(x.shape[-1])).to(x.dtype)


class Embedding(nn.Module):
    """Linear, LayerNorm, tanh, linear to half the width, ReLU."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.joined = JoinedLinear(sizes, width)
        self.normalise = nn.LayerNorm(width)
        self.halve = nn.Linear(width, width // 2)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs that broadcast, to (*b, width / 2)."""
        # In place: neither layer looks at its output again, and memory is what such functions take their time with.
        return functional.relu(self.halve(self.normalise(self.joined(*inputs)).tanh_()), inplace=True)


class TwoEmbeddings(nn.Module):
    """Two embeddings of (parts of) the input, and a trunk on both."""

    def __init__(self, left: tuple[int, ...], right: tuple[int, ...], width: int, outputs: int) -> None:
        super().__init__()
        self.left, self.right = Embedding(left, width), Embedding(right, width)
        self.trunk = JoinedLinear((width // 2, width // 2), width)
        self.out = nn.Linear(width, outputs)

    def forward(self, left: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> Tensor:
        """Inputs of the left and of the right embedding, to (*b, outputs)."""
        return self.out(functional.relu(self.trunk(self.left(*left), self.right(*right)), inplace=True))
