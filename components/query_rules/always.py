"""Query rule that asks for every reward."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior, QueryRule
from bfmkit.registry import register


@register(QueryRule, "always")
class AlwaysQueryRule(QueryRule):
    """Query rule that asks for every reward.

    Example:
        ``query_rule: {type: always}``
    """

    needs_features = False

    def should_query(
        self,
        posterior: Posterior,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        labels: Tensor,  # (B,) int64
    ) -> Tensor:  # (B,) bool
        return torch.ones(len(labels), dtype=torch.bool, device=labels.device)
