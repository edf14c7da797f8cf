"""Weights from labelled transitions, all at once."""

from __future__ import annotations

from torch import Tensor

from bfmkit.utils.second_moment import ridged_inverse, second_moment

RELATIVE_RIDGE = 1e-6


def least_squares_weights(
    features: Tensor,  # (n, d)
    rewards: Tensor,  # (n, m), one column a task
    relative_ridge: float = RELATIVE_RIDGE,
) -> Tensor:  # (m, d) float64
    """argmin_w ‖Φw − r‖² for each column, in float64, with a ridge relative to the features' scale.

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023, section 4.
    """
    inverse = ridged_inverse(second_moment(features), relative_ridge)
    moments = features.double().mT @ rewards.double() / len(features)
    return (inverse @ moments).mT
