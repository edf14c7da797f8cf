"""Inverse dynamics loss of features."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import require_encoder
from bfmkit.registry import register


@register(FeatureObjective, "inverse_dynamics")
class InverseDynamicsObjective(FeatureObjective):
    r"""Inverse dynamics loss: the action is predicted from the codes of the states around it.

        loss_action = mean_{i,k} (a_i − tanh g(e(s_i), e(s'_i)))²_k,   g a network of its own

    What actions have no hold on need not be in such features, and what changes too slowly to show the action is not.

    Example:
        ``feature_objective: {type: inverse_dynamics}``

    Reference:
        Pathak et al., Curiosity-driven exploration by self-supervised prediction, 2017.
    """

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make g."""
        encoder = require_encoder(features, "inverse_dynamics")
        self._head = encoder.networks.encoder(2 * encoder.dim, spec.action_size)

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The loss."""
        encoder = require_encoder(features, "inverse_dynamics")
        codes = torch.cat([encoder.encode(batch.observation), encoder.encode(batch.next_observation)], -1)
        return {"loss_action": (batch.action - torch.tanh(self._head(codes))).square().mean()}
