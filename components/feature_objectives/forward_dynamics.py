"""Forward dynamics loss of features."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import require_encoder
from bfmkit.registry import register


@register(FeatureObjective, "forward_dynamics")
class ForwardDynamicsObjective(FeatureObjective):
    r"""Forward dynamics loss: the next state is predicted from a state's code and the action.

        loss_prediction = mean_{i,k} (s'_i − f(e(s_i), a_i))²_k,   f a network of its own

    Observations are standardised, so 1 is the loss of knowing nothing.

    Example:
        ``feature_objective: {type: forward_dynamics}``

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023, there called transition.
    """

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make f."""
        encoder = require_encoder(features, "forward_dynamics")
        self._head = encoder.networks.encoder(encoder.dim + spec.action_size, spec.observation_size)

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The loss."""
        code = require_encoder(features, "forward_dynamics").encode(batch.observation)
        prediction = self._head(torch.cat([code, batch.action], -1))
        return {"loss_prediction": (batch.next_observation - prediction).square().mean()}
