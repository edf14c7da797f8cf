"""Autoencoder loss of features."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import require_encoder
from bfmkit.registry import register


@register(FeatureObjective, "autoencoder")
class AutoencoderObjective(FeatureObjective):
    r"""Autoencoder loss: the state is rebuilt from its code.

        loss_reconstruction = mean_{i,k} (s_i − g(e(s_i)))²_k,   g a network of its own

    Observations are standardised, so 1 is the loss of knowing nothing. The data's moves play no part.

    Example:
        ``feature_objective: {type: autoencoder}``

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023.
    """

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make g."""
        encoder = require_encoder(features, "autoencoder")
        self._decoder = encoder.networks.encoder(encoder.dim, spec.observation_size)

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The loss."""
        code = require_encoder(features, "autoencoder").encode(batch.observation)
        return {"loss_reconstruction": (batch.observation - self._decoder(code)).square().mean()}
