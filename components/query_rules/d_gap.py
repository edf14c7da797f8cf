"""Query rule that asks for informative rewards (D-gap)."""

from __future__ import annotations

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Posterior, QueryRule
from bfmkit.registry import register


@register(QueryRule, "d_gap")
class DGapQueryRule(QueryRule):
    r"""Query rule that asks where the reward would raise the log determinant of the precision by at least κ.

    open where information_gain(φ) ≥ κ; for the ``ridge`` posterior, that is log(1 + φᵀV⁻¹φ)

    The posterior measures the gain, in its own units of noise. Without forgetting, n steps then take at most
    (d/κ)·log(1 + nL²/(λd)) labels, for features of at most length L and d weights.

    Args:
        threshold: κ ≥ 0; zero takes in everything.

    Raises:
        ValueError: if ``threshold`` is negative.

    Example:
        ``query_rule: {type: d_gap, threshold: 0.01}``
    """

    def __init__(self, threshold: float = 0.01) -> None:
        if not 0.0 <= threshold < float("inf"):
            raise ValueError(f"threshold must be finite and at least 0, got {threshold}")
        self.threshold = threshold

    def should_query(
        self,
        posterior: Posterior,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        labels: Tensor,  # (B,) int64
    ) -> Tensor:  # (B,) bool
        return posterior.information_gain(belief, features) >= self.threshold
