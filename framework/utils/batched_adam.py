"""Adam for parameters of B independent runs at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

FIRST_DECAY, SECOND_DECAY, SMALLEST_DEVIATION = 0.9, 0.999, 1e-8
"""The usual constants."""


@dataclass(frozen=True)
class BatchedAdam:
    """Adam for B runs, each with a step count of its own; runs outside a mask stand still.

    All it remembers is a TensorDict of batch (B,), so it is stored and restored with whatever else a run knows.

    Args:
        learning_rate: of every parameter.

    Reference:
        Kingma and Ba, Adam, 2015, algorithm 1.

    Example:
        ``adam = BatchedAdam(0.1); memory = adam.blank(weights); adam.step(weights, gradient, memory, everyone)``
    """

    learning_rate: float

    def blank(self, parameters: TensorDict) -> TensorDict:  # batch (B,)
        """Initial moments and step counts."""
        zeros = parameters.apply(torch.zeros_like)
        count = torch.zeros(len(parameters), dtype=torch.int64)
        return TensorDict({"first": zeros, "second": zeros.clone(), "count": count}, parameters.batch_size)

    def step(self, parameters: TensorDict, gradient: TensorDict, memory: TensorDict, runs: Tensor) -> None:
        """One step of the runs of a mask (B,), in place."""
        memory["count"].add_(runs)
        rows = None if runs.all() else runs.nonzero().squeeze(-1)
        for name, value in parameters.items(True, True):
            slope, first, second = gradient.get(name), memory.get("first").get(name), memory.get("second").get(name)
            if rows is None:
                self._move(value, slope, first, second, memory["count"])
                continue
            there = rows.to(value.device)
            moved = value[there], first[there], second[there]
            self._move(moved[0], slope[there], moved[1], moved[2], memory["count"][rows])
            for whole, part in zip((value, first, second), moved, strict=True):
                whole.index_copy_(0, there, part)

    def _move(self, value: Tensor, slope: Tensor, first: Tensor, second: Tensor, count: Tensor) -> None:
        count = count.to(value.device, value.dtype).reshape(-1, *[1] * (value.ndim - 1))
        first.lerp_(slope, 1 - FIRST_DECAY)
        second.mul_(SECOND_DECAY).addcmul_(slope, slope, value=1 - SECOND_DECAY)
        deviation = second.sqrt().div_((1 - SECOND_DECAY**count).sqrt()).add_(SMALLEST_DEVIATION)
        value.sub_(self.learning_rate / (1 - FIRST_DECAY**count) * first / deviation)
