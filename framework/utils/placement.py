"""Where a model's tensors lie."""

from __future__ import annotations

import torch
from torch import nn


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and precision that a model computes in; the CPU in float32 for one without tensors."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32
