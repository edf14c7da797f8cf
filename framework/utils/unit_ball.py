"""Points in a ball, out of normal noise alone."""

from __future__ import annotations

import torch
from torch import Tensor

EXTRA = 2
"""Normal numbers that a point takes beyond its dimensions."""


def in_unit_ball(noise: Tensor) -> Tensor:  # (*b, d + 2), standard normal -> (*b, d)
    """Points uniform in the unit ball: the first d coordinates of points uniform on the sphere in d + 2 dimensions.

    Reference:
        Harman and Lacko, On decompositional algorithms for uniform sampling from n-spheres and n-balls, 2010.
    """
    return noise[..., :-EXTRA] / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
