"""Effective rank of the features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.utils.linalg import second_moment

MOMENT = "second_moment"


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
