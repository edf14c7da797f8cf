"""Laplacian loss of features: slow, orthonormal functions of the data's transitions."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import require_encoder
from bfmkit.registry import register
from bfmkit.training.actor_critic_losses import orthonormality_loss
from bfmkit.training.all_gather import full_precision, gathered
from bfmkit.utils.checks import PositiveFloat


@register(FeatureObjective, "laplacian")
class LaplacianObjective(FeatureObjective):
    r"""Laplacian loss: codes of consecutive states are close, and codes are orthonormal over the data.

        loss_smoothness = mean_i ‖e(s_i) − e(s'_i)‖²
        loss_orthonormality = λ [ mean_{i≠j} (e(s_i)ᵀe(s_j))² − 2 mean_i ‖e(s_i)‖² ]

    The sum is 2 tr(E[e (1 − P) eᵀ]) + λ‖E[e eᵀ] − I‖², P the data's moves, so that the best e spans the d slowest
    eigenfunctions of P, those of eigenvalue p with length √(1 − (1 − p)/λ). On a sphere they are a compromise.

    Args:
        orthonormality: λ.

    Raises:
        ValueError: if ``orthonormality`` is not positive.

    Example:
        ``feature_objective: {type: laplacian, orthonormality: 1.0}``

    Reference:
        Wu et al., The Laplacian in RL, 2019; Touati et al., Does zero-shot reinforcement learning exist?, 2023.
    """

    def __init__(self, orthonormality: PositiveFloat = 1.0) -> None:
        super().__init__()
        self._orthonormality = orthonormality

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Needs nothing beside the map."""
        require_encoder(features, "laplacian")

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The two losses."""
        encoder = require_encoder(features, "laplacian")
        code, following = encoder.encode(batch.observation), encoder.encode(batch.next_observation)
        with full_precision(code):
            off_diagonal, diagonal = orthonormality_loss(gathered(code))
        return {
            "loss_smoothness": (code - following).square().sum(-1).mean(),
            "loss_orthonormality": self._orthonormality * (off_diagonal + diagonal),
            "orthonormality_off_diagonal": off_diagonal.detach(),
        }
