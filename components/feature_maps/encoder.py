"""Encoder features: a network of the next state."""

from __future__ import annotations

from bfmkit.interfaces import FeatureMap
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register


@register(FeatureMap, "encoder")
class EncoderFeatures(EncodedFeatures):
    """Encoder features φ(s, a, s') = e(s') of a network e, which any feature objective may train.

    Arguments are those of :class:`~bfmkit.models.encoder_features.EncodedFeatures`: ``networks``, ``dim`` and
    ``normalised``.

    Example:
        ``features: {type: encoder, dim: 50, networks: {type: two_stream}}``
    """
