"""Query rule that asks for the first rewards."""

from __future__ import annotations

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior, QueryRule
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeInt, one_per_row


@register(QueryRule, "budget")
class BudgetQueryRule(QueryRule):
    """Query rule that asks for the first rewards of each run, beside transitions that were labelled before it.

    Args:
        num_labels: how many.

    Raises:
        ValueError: if ``num_labels`` is negative.

    Example:
        ``query_rule: {type: budget, num_labels: 500}``
    """

    needs_features = False

    def __init__(self, num_labels: NonNegativeInt = 1000) -> None:
        self.num_labels = num_labels

    def should_query(
        self,
        posterior: Posterior,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        labels: Tensor,  # (B,) int64, or (B, 1)
    ) -> Tensor:  # (B,) bool
        return one_per_row(labels, len(belief), "labels") < self.num_labels
