"""Identity features: the next observation."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register


@register(FeatureMap, "identity")
class IdentityFeatures(FeatureMap):
    """Next observation as features: φ(s, a, s') = s', d the size of the observation.

    Args:
        spec: sizes of the environment.

    Example:
        ``features: {type: identity}``
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        super().__init__()
        self.dim = spec.observation_size

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """s'; the other two arguments are not looked at."""
        return next_observation
