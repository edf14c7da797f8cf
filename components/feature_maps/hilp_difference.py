"""HILP features of a transition: its displacement in a space whose distances are times."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(FeatureMap, "hilp_difference")
class HilpDifferenceFeatures(EncodedFeatures):
    """HILP features φ(s, a, s') = e(s') − e(s): the displacement of a transition in the space of times.

    The objective ``hilp`` makes ‖e(s) − e(g)‖ the time from s to g; then φᵀz rewards going in direction z, and
    z ∝ e(g) − e(s) leads to a goal.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e (its ``encoder``).
        dim: d.

    Raises:
        ValueError: if ``dim`` is not positive.

    Example:
        ``features: {type: hilp_difference, dim: 50, networks: {type: two_stream}}``

    Reference:
        Park et al., Foundation policies with Hilbert representations, 2024, section 4.
    """

    def __init__(self, spec: EnvironmentSpec, networks: Networks, dim: PositiveInt = 50) -> None:
        super().__init__(spec, networks, dim, normalised=False)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """e(s') − e(s); the action is not looked at."""
        return self.encode(next_observation) - self.encode(observation)
