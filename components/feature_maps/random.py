"""Features that nobody has learnt."""

from __future__ import annotations

from bfmkit.interfaces import EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(FeatureMap, "random")
class RandomFeatures(EncodedFeatures):
    """φ(s, a, s') = e(s') for a network e that stays as it was drawn: what learning features has to beat.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e (its ``encoder``).
        dim: d.
        normalised: whether e(s) is projected onto the sphere of radius √d.

    Raises:
        ValueError: if ``dim`` is not positive.
    """

    def __init__(
        self, spec: EnvironmentSpec, networks: Networks, dim: PositiveInt = 50, normalised: bool = True
    ) -> None:
        super().__init__(spec, networks, dim, normalised)
        self.requires_grad_(False)
