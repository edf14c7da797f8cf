"""Model with the leading principal directions of another's features."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.models.feature_moment import feature_moment
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(BFM, "principal")
class Principal(BFM):
    r"""Leading principal directions of another model's features, with those of its policies that lie within them.

        φ̃ = Qᵀφ,   ψ̃ = Qᵀψ,   policy_latent(w̃) = Qᵀ policy_latent(Qw̃),   π̃_z = π_{Qz}

    Q has the ``dim`` leading eigenvectors of E[φφᵀ] as columns, signs so that the largest entry of each is positive.
    Features that hardly vary over the data say little of any reward, but a regression may put its largest weights on
    them, far from every z that the model was trained on. Without them there is also less to find out online. What they
    alone express is lost. Of ``whitened`` features no direction leads: put that around this model, not inside.

    Args:
        bfm: the model.
        dim: how many directions stay.

    Raises:
        ValueError: if ``dim`` exceeds the model's, a z of the model does not lie within the directions of its weights
            (as with ``intercept``; put that around this), or the model neither knows its features' second moment nor
            brings transitions.

    Example:
        ``bfm: {type: principal, dim: 16, bfm: {type: checkpoint, path: zoo:walker}}``

    Reference:
        Massy, Principal components regression in exploratory statistical research, 1965.
    """

    directions: Tensor
    """Q, (d of the model, dim), float64."""

    def __init__(self, bfm: BFM, dim: PositiveInt) -> None:
        super().__init__()
        if dim > bfm.dim:
            raise ValueError(f"dim must be at most the model's {bfm.dim}, got {dim}")
        self.model, self.dim = bfm, dim
        self.environment_spec, self.discount = bfm.environment_spec, bfm.discount
        vectors = torch.linalg.eigh(feature_moment(bfm)).eigenvectors.flip(1)[:, :dim]
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        self.register_buffer("directions", vectors * largest.sign())
        self._require_latents_within()

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ̃ of each transition."""
        return self._restricted(self.model.features(observation, action, next_observation))

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """ψ̃(s, a, z): (*b, E, d)."""
        return self._restricted(self.model.successor_features(observation, self._whole(z), action))

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:  # (B, k, E, d)
        """ψ̃ of k candidates."""
        return self._restricted(self.model.candidate_successor_features(observation, self._whole(z)))

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π_{Qz} of the model."""
        return self.model.act(observation, self._whole(z))

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """w̃ to z."""
        return self._restricted(self.model.policy_latent(self._whole(weights)))

    def feature_second_moment(self) -> Tensor:  # (d, d) float64
        """QᵀE[φφᵀ]Q: diagonal, largest first."""
        return self.directions.mT @ feature_moment(self.model).to(self.directions.device) @ self.directions

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """The model's."""
        return self.model.inference_set()

    def _restricted(self, values: Tensor) -> Tensor:  # (*b, d of the model) -> (*b, d)
        return values @ self.directions.to(values.dtype)

    def _whole(self, values: Tensor) -> Tensor:  # (*b, d) -> (*b, d of the model)
        return values @ self.directions.to(values.dtype).mT

    @torch.no_grad()
    def _require_latents_within(self) -> None:
        z = self.model.policy_latent(self.directions.mT)
        if not torch.allclose(self._whole(self._restricted(z)), z, rtol=0, atol=1e-3 * float(z.abs().max())):
            raise ValueError(
                f"z of {type(self.model).__name__} does not lie within the principal directions of its features; "
                "put principal inside of models that change z"
            )
