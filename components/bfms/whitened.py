"""Model with whitened features."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.models.feature_moment import feature_moment
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat


@register(BFM, "whitened")
class Whitened(BFM):
    r"""Features of another model, scaled to a second moment of identity over its inference set.

        φ̃ = C^{-1/2} φ,   ψ̃ = C^{-1/2} ψ,   policy_latent(w̃) = policy_latent(C^{-1/2} w̃),   C = E[φφᵀ]

    φ̃ᵀw̃ and ψ̃ᵀw̃ are φᵀw and ψᵀw for w = C^{-1/2}w̃: the model holds the same rewards and the same policies. But the mean
    of ‖φ̃‖² is d, and a reward r that is linear in the features has ‖w̃‖² = E[r²], whatever the family and its units, so
    that one regularisation and one confidence radius mean the same for all.

    C comes from the model; where it knows none, from the transitions that it brings.

    Args:
        bfm: the model.
        relative_ridge: added to the diagonal of C, as a share of its mean.

    Raises:
        ValueError: if the model knows neither its features' second moment nor brings transitions, or
            ``relative_ridge`` is not positive.

    Example:
        ``bfm: {type: whitened, bfm: {type: checkpoint, path: zoo:walker}}``
    """

    root: Tensor
    """C^{-1/2}, float64."""

    def __init__(self, bfm: BFM, relative_ridge: PositiveFloat = 1e-6) -> None:
        super().__init__()
        self.model = bfm
        self.environment_spec, self.dim, self.discount = bfm.environment_spec, bfm.dim, bfm.discount
        moment = feature_moment(bfm)
        values, vectors = torch.linalg.eigh(moment)
        # Rounding leaves eigenvalues that should be zero a little below it.
        ridged = values.clamp(min=0) + relative_ridge * moment.diagonal().mean()
        self.register_buffer("root", (vectors * ridged.rsqrt()) @ vectors.mT)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ̃ of each transition."""
        return self._white(self.model.features(observation, action, next_observation))

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """ψ̃(s, a, z): (*b, E, d)."""
        return self._white(self.model.successor_features(observation, z, action))

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:  # (B, k, E, d)
        """ψ̃ of k candidates."""
        return self._white(self.model.candidate_successor_features(observation, z))

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π of the model; z is the model's own."""
        return self.model.act(observation, z)

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """w̃ to z."""
        return self.model.policy_latent(self._white(weights))

    def feature_second_moment(self) -> Tensor:  # (d, d) float64
        """C^{-1/2} C C^{-1/2}: the identity, but for the ridge."""
        moment = feature_moment(self.model).to(self.root.device)
        return self.root @ moment @ self.root

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """The model's."""
        return self.model.inference_set()

    def _white(self, values: Tensor) -> Tensor:  # (*b, d)
        # In float64, for C may have little to say about some directions, which its root then makes large.
        return (values.double() @ self.root).to(values.dtype)
