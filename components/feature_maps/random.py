"""Random features: a network of the next state that is never trained."""

from __future__ import annotations

from bfmkit.interfaces import FeatureMap
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register


@register(FeatureMap, "random")
class RandomFeatures(EncodedFeatures):
    """Random features φ(s, a, s') = e(s') of a network e that is never trained: the baseline of learnt features.

    Arguments are those of :class:`~bfmkit.models.encoder_features.EncodedFeatures`: ``networks``, ``dim`` and
    ``normalised``.

    Example:
        ``features: {type: random, dim: 50, networks: {type: two_stream}}``
    """

    is_trained = False
