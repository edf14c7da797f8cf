"""Model with further features for regression, of which its policies know nothing."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM, FeatureMap
from bfmkit.models.learned_bfm import SMALLEST_DEVIATION
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import register
from bfmkit.utils.linalg import least_squares_weights
from bfmkit.utils.placement import placement
from bfmkit.utils.threads import one_thread


@register(BFM, "nuisance_features")
class NuisanceFeatures(BFM):
    r"""Features of another model, and what they leave unexplained of further ones.

        φ̃ = [φ, ν],   ψ̃ = [ψ, 0],   policy_latent([w, v]) = [policy_latent(w), 0],   ν = c − Bᵀφ

    with c the further features and Bᵀφ what φ says of them over the inference set. A belief over (w, v) is then that of
    a partially linear model r ≈ φᵀw + νᵀv. Over the inference set w means what it means without ν; online, where few
    states are visited, ν explains what φ cannot express, which else bends w. Values and confidence widths are those of
    w with its marginal covariance: policies and ψ know nothing of ν.

    Args:
        bfm: the model.
        features: c, of observations standardised over the inference set.

    Raises:
        ValueError: if the model brings no transitions, or ``features`` cannot be built for its environment.

    Example:
        ``bfm: {type: nuisance_features, features: {type: fourier, entries: [torso_height], dim: 64}, bfm: {type:
        checkpoint, path: zoo:walker}}``

    Reference:
        Robinson, Root-n-consistent semiparametric regression, 1988.
    """

    mean: Tensor
    deviation: Tensor
    explained: Tensor
    """B, (d of the model, number of further features)."""

    def __init__(self, bfm: BFM, features: Deferred[FeatureMap]) -> None:
        super().__init__()
        data = bfm.inference_set()
        if data is None:
            raise ValueError("nuisance features need a model that brings an inference set")
        self.model, self.further = bfm, features.build(bfm.environment_spec)
        self.environment_spec, self.discount = bfm.environment_spec, bfm.discount
        self.dim = bfm.dim + self.further.dim
        device, dtype = placement(bfm)
        transitions = [data.get(key).to(device, dtype) for key in ("observation", "action", ("next", "observation"))]
        following = transitions[2]
        # The model's digest is of these numbers too.
        with torch.no_grad(), one_thread():
            self.register_buffer("mean", following.mean(0))
            self.register_buffer("deviation", following.std(0).clamp(min=SMALLEST_DEVIATION))
            self.further.to(device, dtype).prepare(self._standardised(following))
            weights = least_squares_weights(bfm.features(*transitions), self._further(*transitions))
        self.register_buffer("explained", weights.mT.to(dtype))

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """[φ, ν] of each transition."""
        known = self.model.features(observation, action, next_observation)
        return torch.cat([known, self._further(observation, action, next_observation) - known @ self.explained], -1)

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """[ψ(s, a, z), 0]: (*b, E, d)."""
        return self._padded(self.model.successor_features(observation, self._own(z), action))

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:  # (B, k, E, d)
        """The same for k candidates."""
        return self._padded(self.model.candidate_successor_features(observation, self._own(z)))

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π of the model."""
        return self.model.act(observation, self._own(z))

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """[w, v] to z, whatever v."""
        return self._padded(self.model.policy_latent(self._own(weights)))

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """The model's."""
        return self.model.inference_set()

    def _own(self, values: Tensor) -> Tensor:  # (*b, d) -> (*b, d of the model)
        return values[..., : self.model.dim]

    def _padded(self, values: Tensor) -> Tensor:  # (*b, d of the model) -> (*b, d)
        return torch.nn.functional.pad(values, (0, self.further.dim))

    def _standardised(self, observation: Tensor) -> Tensor:
        return (observation - self.mean) / self.deviation

    def _further(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return self.further.features(self._standardised(observation), action, self._standardised(next_observation))
