"""Effective rank of the features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.utils.linalg import second_moment

MOMENT = "second_moment"
SMALLEST = 1e-10
"""Directions with a smaller share of the largest eigenvalue count as absent."""


def feature_spectrum(
    bfm: BFM,
    features: Tensor,  # (n, d), the model's, of transitions from its data
) -> Tensor:  # (d,) float64, largest first
    """Eigenvalues of the second moment of what the features are made of.

    A model that divides its features by a second moment keeps that in a buffer called ``second_moment``, and then it is
    its spectrum: features that were divided by their own moment look even whatever they were before, down to rounding
    errors blown up to the size of a signal. Of several, the innermost counts. Any other model's features are taken as
    they are.
    """
    moments = {name: buffer for name, buffer in bfm.named_buffers() if name.rpartition(".")[2] == MOMENT}
    moment = moments[max(moments, key=len)] if moments else second_moment(features)
    return torch.linalg.eigvalsh(moment.double()).flip(-1).clamp(min=0)


def directions(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # (n, d) -> (d,), (d, d), (d,) bool
    """Eigenvalues, eigenvectors of E[φφᵀ], and which of them are more than :data:`SMALLEST` of the largest."""
    values, vectors = torch.linalg.eigh(second_moment(features).cpu())
    return values, vectors, values > SMALLEST * values[-1]


def effective_rank(spectrum: Tensor) -> float:  # (d,) of an E[xxᵀ]
    """exp(−Σ pᵢ ln pᵢ), pᵢ = λᵢ/Σλ: d for d directions of equal size, 1 for a single one, 0 for none.

    Reference:
        Roy and Vetterli, The effective rank: a measure of effective dimensionality, 2007.
    """
    total = spectrum.sum()
    if not total > 0:
        return 0.0
    return math.exp(float(torch.special.entr(spectrum / total).sum()))


def condition_number(spectrum: Tensor) -> float:  # (d,), largest first
    """λ₁/λ_d; infinite where the smallest is nothing but rounding."""
    largest, smallest = float(spectrum[0]), float(spectrum[-1])
    if not smallest > len(spectrum) * torch.finfo(spectrum.dtype).eps * largest:
        return math.inf
    return largest / smallest


def effective_dimension(spectrum: Tensor, labels: int, regularization: float = 1.0) -> float:  # (d,) of an E[φφᵀ]
    """Σ λᵢ/(λᵢ + λ/n): how many directions of the features n labels tell, beside a prior of weight λ.

    Reference:
        Valko et al., Finite-time analysis of kernelised contextual bandits, 2013; Zhang, Learning bounds for kernel
        regression using effective data dimensionality, 2005.
    """
    return float((spectrum / (spectrum + regularization / labels)).sum())


def leading_share(
    features: Tensor,  # (n, d), of the transitions that E is over
    weights: Tensor,  # (m, d), of m rewards
) -> Tensor:  # (m,) float64
    """Share of E[(φᵀw)²] that lies in the k leading eigenvectors of E[φφᵀ]: Σ_{i≤k} λᵢ(uᵢᵀw)² / Σ λᵢ(uᵢᵀw)².

    k is half the effective rank, at least 1. A reward in the leading directions shows in whatever is done; one in the
    last is told by few steps. NaN for w = 0.
    """
    values, vectors = torch.linalg.eigh(second_moment(features).double())
    values = values.clamp(min=0)
    leading = max(1, round(effective_rank(values) / 2))
    parts = values * (weights.double() @ vectors).square()  # (m, d), smallest first
    return parts[:, -leading:].sum(-1) / parts.sum(-1)
