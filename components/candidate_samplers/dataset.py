"""Candidate weights from states of the inference set."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bfmkit.interfaces import BFM, AcquisitionContext, CandidateSampler
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.linalg import RELATIVE_RIDGE, ridged_inverse, second_moment
from bfmkit.utils.placement import placement

# A model's directions take a pass over its inference set, and every choice asks for them.
_directions: WeakKeyDictionary[BFM, Tensor] = WeakKeyDictionary()


@register(CandidateSampler, "dataset")
class DatasetCandidates(CandidateSampler):
    r"""Candidate weights of the rewards for reaching states of the model's inference set.

    w_j = x/‖x‖,  x = (E φφᵀ + ε tr(E φφᵀ)/d · I)⁻¹ φ(s_j, a_j, s'_j),  j uniform in the inference set, with replacement

    x is in the direction of the least-squares fit of a reward that is 1 at that transition and 0 at all others. With
    forward-backward features it is B(s'), which is what such models are trained to reach.

    Args:
        count: how many weights to draw.

    Raises:
        ValueError: if ``count`` is not positive; when drawing, if the model brings no inference set.

    Example:
        ``candidates: {type: dataset, count: 128}``
    """

    def __init__(self, count: PositiveInt = 128) -> None:
        self.count = count

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (self.count,)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        directions = _directions_of(context.bfm).to(context.noise.device)
        # The distribution function of the noise is uniform on [0, 1], both ends included.
        place = (torch.special.ndtr(context.noise) * len(directions)).long().clamp(max=len(directions) - 1)
        return directions[place]


@torch.no_grad()
def _directions_of(bfm: BFM) -> Tensor:  # (n, d) float64
    if bfm not in _directions:
        transitions = bfm.inference_set()
        if transitions is None or len(transitions) == 0:
            raise ValueError('candidates "dataset": this model brings no inference set to take states from')
        keys = ("observation", "action", ("next", "observation"))
        features = bfm.features(*(transitions.get(key).to(*placement(bfm)) for key in keys)).double()
        goals = features @ ridged_inverse(second_moment(features), RELATIVE_RIDGE)
        norm = torch.linalg.vector_norm(goals, dim=-1, keepdim=True)
        known = norm.squeeze(-1) > 0
        if not known.any():
            raise ValueError('candidates "dataset": the features of all states of the inference set are zero')
        _directions[bfm] = goals[known] / norm[known]
    return _directions[bfm]
