"""Contrastive loss of features: a state's future against other states' futures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import require_encoder
from bfmkit.registry import register
from bfmkit.training.all_gather import full_precision, gathered
from bfmkit.utils.checks import OpenShare, PositiveFloat


@register(FeatureObjective, "contrastive")
class ContrastiveObjective(FeatureObjective):
    r"""Contrastive loss: a state's code picks its own future among those of the batch.

        L_ij = cos(e(s_i), μ(s⁺_j)) / τ,   s⁺ a later state of the same episode, μ a second encoder
        loss_contrastive = mean_i [ −L_ii + ln Σ_j exp L_ij ]

    At its best L_ij is the log of how much likelier s⁺_j is after s_i than at any time, up to a constant for each i, as
    far as cosines can express it. Without τ cosines could not tell: the loss would stay above ln(N − 1) − 2.

    Args:
        temperature: τ.
        future_discount: how far ahead s⁺ lies: k steps with probability proportional to this to the power of k.

    Raises:
        ValueError: if ``temperature`` is not positive or ``future_discount`` lies outside (0, 1).

    Example:
        ``feature_objective: {type: contrastive, temperature: 0.1}``

    Reference:
        van den Oord et al., Representation learning with contrastive predictive coding, 2018; Touati et al., Does
        zero-shot reinforcement learning exist?, 2023, which has no temperature.
    """

    def __init__(self, temperature: PositiveFloat = 0.1, future_discount: OpenShare = 0.99) -> None:
        super().__init__()
        self.future_discount = future_discount
        self._temperature = temperature

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make μ."""
        encoder = require_encoder(features, "contrastive")
        self._future_encoder = encoder.networks.encoder(spec.observation_size, encoder.dim)

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The loss, and how often a state's own future comes first.

        Raises:
            ValueError: if the batch shows no future observations.
        """
        if batch.future_observation is None:
            raise ValueError("the contrastive objective learns from future observations, and the batch has none")
        code = gathered(require_encoder(features, "contrastive").encode(batch.observation))
        future = gathered(self._future_encoder(batch.future_observation))
        with full_precision(code):
            logits = functional.normalize(code, dim=-1) @ functional.normalize(future, dim=-1).mT / self._temperature
        own = torch.arange(len(code), device=code.device)
        return {
            "loss_contrastive": functional.cross_entropy(logits, own),
            "own_future_first": (logits.detach().argmax(-1) == own).to(logits.dtype).mean(),
        }

    def start_from(self, features: FeatureMap) -> None:
        """μ, which no model holds, starts where the map's encoder does."""
        self._future_encoder.load_state_dict(require_encoder(features, "contrastive").encoder_network.state_dict())
