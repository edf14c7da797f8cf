"""Gathering of the joint batch of several processes, with gradients.

Losses that pair samples across the batch are no sums over samples: the mean of what the processes would get from
their own parts is not the loss of the whole. So an objective gathers its embeddings, everything that such a loss
compares, and computes the loss of the whole batch in every process:

    backward = gathered(self.bfm.backward_map(following))         # (n, d) -> (N, d)
    forward = gathered(self.bfm.forward_network(s, z, a), dim=0)  # (n, E, d) -> (N, E, d)
    with full_precision(backward):
        loss = pairwise_loss(forward, backward)

What is a mean over samples (an actor's loss, a regression) needs nothing: averaging gradients does the rest. In one
process both functions leave float32 as it is, and cost nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, distributed


def gathered(embeddings: Tensor, dim: int = 0) -> Tensor:
    """The embeddings of all processes, joined along ``dim`` in the order of their ranks, with their gradients.

    The gradient of mean_r L_r with respect to this process's embeddings is (1/W) Σ_r ∂L_r/∂e: what flows back is the
    sum over processes, and averaging the weights' gradients over processes, as data-parallel training does, divides
    by W. If every L_r is the loss of the whole batch, the result is the gradient of the whole batch.

    Args:
        embeddings: of this process's part of the batch; as many in every process.
        dim: the dimension of samples.

    Returns:
        Those of the whole batch; at least float32, for sums over a batch are no matter for bfloat16.
    """
    if embeddings.dtype in (torch.bfloat16, torch.float16):
        embeddings = embeddings.float()
    if processes() == 1:
        return embeddings
    return _Gather.apply(embeddings, dim)


def full_precision(like: Tensor) -> AbstractContextManager:
    """A context in which products are computed in the precision of their factors, also in a training in bfloat16."""
    return torch.autocast(like.device.type, enabled=False)


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def everywhere(condition: Tensor) -> bool:  # () bool
    """Whether ``condition`` holds in all processes; each of them must ask."""
    if processes() == 1:
        return bool(condition)
    agreed = condition.to(torch.int32)
    distributed.all_reduce(agreed, distributed.ReduceOp.MIN)
    return bool(agreed)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, dim: int) -> Tensor:
        ctx.dim, ctx.size = dim, embeddings.shape[dim]
        parts = [torch.empty_like(embeddings, memory_format=torch.contiguous_format) for _ in range(processes())]
        distributed.all_gather(parts, embeddings.contiguous())
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.narrow(ctx.dim, distributed.get_rank() * ctx.size, ctx.size), None
