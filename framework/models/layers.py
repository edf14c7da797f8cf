"""Layers: a linear layer on broadcast-concatenated inputs, and the projection to the sphere."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def plain(layer: Any, *inputs: Tensor) -> Any:
    """``layer(*inputs)`` for a layer without hooks: on one row, a module's call takes longer than its arithmetic."""
    if layer._forward_hooks or layer._forward_pre_hooks:
        return layer(*inputs)
    kind = type(layer)
    # Its dictionaries are read because a module's attributes take ten times as long.
    if kind is nn.Linear:
        return functional.linear(*inputs, *layer._parameters.values())
    if kind is nn.LayerNorm:
        weight, bias = layer._parameters.values()
        return torch.layer_norm(inputs[0], layer.normalized_shape, weight, bias, layer.eps)
    return layer.forward(*inputs)


class Chain(nn.Sequential):
    """Layers one after another, each by :func:`plain`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that the first layer takes."""
        for layer in self._modules.values():
            input = plain(layer, input)
        return input


class JoinedLinear(nn.Linear):
    """Linear layer on broadcast-concatenated inputs.

    An input that is the same for many rows (one observation, k candidates) is multiplied once, not k times.
    """

    def __init__(self, sizes: tuple[int, ...], outputs: int) -> None:
        super().__init__(sum(sizes), outputs)
        self.sizes = sizes

    def forward(self, *inputs: Tensor) -> Tensor:
        """Output (*b, outputs) of ``inputs`` (*b_i, size_i), with *b the broadcast of all *b_i."""
        parameters: dict[str, Any] = self._parameters
        weight, bias = parameters.values()
        first = inputs[0]
        if len(inputs) == 1:
            return functional.linear(first, weight, bias)
        # No gradient is worked out for an input that takes none.
        if all(x.shape[:-1] == first.shape[:-1] and x.requires_grad == first.requires_grad for x in inputs):
            return functional.linear(torch.cat(inputs, -1), weight, bias)
        weights = weight.split(self.sizes, dim=1)
        total = functional.linear(first, weights[0], bias)
        for x, weight in zip(inputs[1:], weights[1:], strict=True):
            total = total + functional.linear(x, weight)
        return total


def project(x: Tensor) -> Tensor:  # (*b, d)
    """Projection to the sphere, √d · x / ‖x‖, and zero for x = 0."""
    # The norm in float64, for the squares of weights that explain tiny rewards are nothing in float32.
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float64)
    # Divided by one where it is zero, as of a row that no hidden unit answers to: with any smaller number its gradient
    # is not finite.
    norm = norm + (norm == 0)
    return (x / norm).mul_(math.sqrt(x.shape[-1])).to(x.dtype)


MANY = 4096
"""Numbers from which on three operations more are made up for by a faster function."""


def tanh_(x: Tensor) -> Tensor:  # (*b)
    """tanh(x) = 2σ(2x) − 1, written over x: of what a layer gives that does not look at it again, such as LayerNorm.

    On a CPU torch's sigmoid takes a quarter of the time of its tanh, where there are more than a few thousand numbers;
    the difference is below 2e-7 in float32. Of bfloat16 that would be too much, and compilers have a tanh of their own.
    """
    is_plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    # An exported program takes batches of any size, so its size is not asked for.
    if not is_plain or torch.compiler.is_compiling() or x.numel() < MANY:
        return x.tanh_()
    half = x.mul_(2.0).sigmoid_()
    # A gradient needs the sigmoid as it is.
    return torch.add(half.new_tensor(-1.0), half, alpha=2.0) if torch.is_grad_enabled() else half.mul_(2.0).sub_(1.0)


class FastTanh(nn.Tanh):
    """:func:`tanh_` as a layer."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return tanh_(input)


class Embedding(nn.Module):
    """Embedding: linear, LayerNorm, tanh, linear to half the width, ReLU."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.joined = JoinedLinear(sizes, width)
        self.normalise, self.halve = nn.LayerNorm(width), nn.Linear(width, width // 2)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Embedding (*b, width / 2) of inputs that broadcast."""
        # In place: no layer looks at its output again, and memory is what such functions take their time with.
        joined, normalise, halve = self._modules.values()
        return plain(halve, tanh_(plain(normalise, plain(joined, *inputs)))).relu_()


class TwoEmbeddings(nn.Module):
    """Two embeddings of (parts of) the input, and a trunk on both."""

    def __init__(self, left: tuple[int, ...], right: tuple[int, ...], width: int, outputs: int) -> None:
        super().__init__()
        self.left, self.right = Embedding(left, width), Embedding(right, width)
        self.trunk = JoinedLinear((width // 2, width // 2), width)
        self.out = nn.Linear(width, outputs)

    def forward(
        self, left: tuple[Tensor, ...], right: tuple[Tensor, ...], right_embedding: Tensor | None = None
    ) -> Tensor:
        """Output (*b, outputs) of the inputs of the left and right embedding, or the right embedding itself."""
        embed_left, embed_right, trunk, out = self._modules.values()
        right_embedding = plain(embed_right, *right) if right_embedding is None else right_embedding
        return plain(out, plain(trunk, plain(embed_left, *left), right_embedding).relu_())
