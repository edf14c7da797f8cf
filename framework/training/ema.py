"""Exponential moving averages of parameters: target networks and the exported policy."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def frozen_copy(module: M) -> M:
    """A copy whose parameters are not trained."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move_towards(average: nn.Module, module: nn.Module, rate: float) -> None:
    """average ← (1 − rate)·average + rate·module, for all parameters in one call; with a rate of 1 buffers too."""
    if rate == 1.0:
        average.load_state_dict(module.state_dict())
        return
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), rate)
