"""Second moment of a model's features."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.utils.linalg import second_moment
from bfmkit.utils.placement import placement
from bfmkit.utils.threads import one_thread


@torch.no_grad()
@one_thread()
def feature_moment(bfm: BFM) -> Tensor:  # (d, d) float64
    """E[φφᵀ], the model's own; where it knows none, that over its inference set.

    On one thread, for models keep what they make of it, and their digest is to be the same with any number.

    Raises:
        ValueError: if the model neither knows it nor brings transitions.
    """
    known = bfm.feature_second_moment()
    if known is not None:
        return known.double()
    data = bfm.inference_set()
    if data is None:
        raise ValueError(
            f"{type(bfm).__name__} knows no second moment of its features, and has no data to take it from"
        )
    device, _ = placement(bfm)
    keys = ("observation", "action", ("next", "observation"))
    return second_moment(bfm.features(*(data.get(key).to(device) for key in keys)))
