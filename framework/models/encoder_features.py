"""Base class of feature maps with an encoder."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from bfmkit.interfaces import EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.layers import project
from bfmkit.utils.checks import PositiveInt


class EncodedFeatures(FeatureMap):
    """Base class of encoder features φ(s, a, s') = e(s') of a network e, on the sphere of radius √d if asked.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e, and of what a feature objective needs beside it.
        dim: d.
        normalised: whether e(s) is projected onto the sphere of radius √d.

    Raises:
        ValueError: if ``dim`` is not positive.
    """

    is_trained: ClassVar[bool] = True
    """Whether the network has gradients."""

    def __init__(
        self, spec: EnvironmentSpec, networks: Networks, dim: PositiveInt = 50, normalised: bool = True
    ) -> None:
        super().__init__()
        self.dim, self.networks, self.normalised = dim, networks, normalised
        self.encoder_network = networks.encoder(spec.observation_size, dim).requires_grad_(self.is_trained)

    def encode(self, observation: Tensor, network: nn.Module | None = None) -> Tensor:  # (*b, o) -> (*b, d)
        """Code e(s), by the map's network or another of the same shape, such as a target network."""
        code = (self.encoder_network if network is None else network)(observation)
        return project(code) if self.normalised else code

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Code e(s') of the next state."""
        return self.encode(next_observation)


def require_encoder(features: FeatureMap, objective: str) -> EncodedFeatures:
    """Feature map with an encoder that can be trained.

    Raises:
        TypeError: if it has none; ``objective`` is what the message says cannot train it.
    """
    if not isinstance(features, EncodedFeatures) or not any(each.requires_grad for each in features.parameters()):
        raise TypeError(f"the {objective} objective cannot train {type(features).__name__}: it has no encoder to train")
    return features
