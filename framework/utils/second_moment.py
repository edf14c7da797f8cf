"""The second moment of features, and its inverse."""

from __future__ import annotations

import torch
from torch import Tensor


def second_moment(features: Tensor) -> Tensor:  # (n, d) -> (d, d) float64
    """C = E[φφᵀ], not centred."""
    x = features.double()
    return x.mT @ x / len(x)


def ridged_inverse(moment: Tensor, relative_ridge: float) -> Tensor:  # (d, d) float64
    """(C + ε·mean(diag C)·I)⁻¹: the ridge is relative, so that it means the same for features of any scale."""
    ridge = relative_ridge * moment.diagonal().mean().clamp(min=torch.finfo(moment.dtype).tiny)
    factor = torch.linalg.cholesky(moment + ridge * torch.eye(len(moment), dtype=moment.dtype, device=moment.device))
    return torch.cholesky_inverse(factor)
