"""Take in the first rewards."""

from __future__ import annotations

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Gate, Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import one_per_row


@register(Gate, "budget")
class BudgetGate(Gate):
    """Open until a run has taken in so many rewards.

    Args:
        labels: how many.

    Raises:
        ValueError: if ``labels`` is negative.
    """

    needs_features = False

    def __init__(self, labels: int = 1000) -> None:
        if labels < 0:
            raise ValueError(f"labels must be at least 0, got {labels}")
        self.labels = labels

    def open(
        self,
        posterior: Posterior,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        labels: Tensor,  # (B,) int64, or (B, 1)
    ) -> Tensor:  # (B,) bool
        return one_per_row(labels, len(belief), "labels") < self.labels
