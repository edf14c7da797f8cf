"""The sphere that policy latents and normalised features lie on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST_NORM = 1e-150


def project(x: Tensor) -> Tensor:  # (*b, d)
    """√d · x / ‖x‖, and zero for x = 0."""
    # The norm in float64, for the squares of weights that explain tiny rewards are nothing in float32.
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float64).clamp(min=SMALLEST_NORM)
    return (x / norm).mul_(math.sqrt(x.shape[-1])).to(x.dtype)
