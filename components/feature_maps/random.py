"""Random features: a network of the next state that is never trained."""

from __future__ import annotations

from bfmkit.interfaces import EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(FeatureMap, "random")
class RandomFeatures(EncodedFeatures):
    """Random features φ(s, a, s') = e(s') of a network e that is never trained: the baseline of learnt features.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e (its ``encoder``).
        dim: d.
        normalised: whether e(s) is projected onto the sphere of radius √d.

    Raises:
        ValueError: if ``dim`` is not positive.

    Example:
        ``features: {type: random, dim: 50, networks: {type: two_stream}}``
    """

    def __init__(
        self, spec: EnvironmentSpec, networks: Networks, dim: PositiveInt = 50, normalised: bool = True
    ) -> None:
        super().__init__(spec, networks, dim, normalised)
        self.requires_grad_(False)
