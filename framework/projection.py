"""The sphere that policy latents and normalised features lie on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST_NORM = 1e-150


def project(x: Tensor) -> Tensor:  # (*b, d)
    """√d · x / ‖x‖, and zero for x = 0."""
    # In float64, for the squares of weights that explain tiny rewards are nothing in float32.
    wide = x.double()
    norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    return (wide * (math.sqrt(x.shape[-1]) / norm.clamp(min=SMALLEST_NORM))).to(x.dtype)
