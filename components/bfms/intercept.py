"""Model with a constant feature, for rewards whose mean is not zero."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.registry import register
from bfmkit.utils.linalg import second_moment
from bfmkit.utils.placement import placement


@register(BFM, "intercept")
class Intercept(BFM):
    r"""Features of another model and a constant one.

        φ̃ = [φ, 1],   ψ̃ = [ψ, 1/(1−γ)],   policy_latent([w, c]) = [policy_latent(w), 0]

    A constant added to a reward changes no policy, but features may be unable to say it: those of HILP are centred, and
    a belief would take the mean of a reward for noise. The policies do not see the last entry of z.

    Args:
        bfm: the model.

    Example:
        ``bfm: {type: intercept, bfm: {type: checkpoint, path: zoo:walker}}``
    """

    def __init__(self, bfm: BFM) -> None:
        super().__init__()
        self.model = bfm
        self.environment_spec, self.dim, self.discount = bfm.environment_spec, bfm.dim + 1, bfm.discount

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """[φ, 1] of each transition."""
        return _extended(self.model.features(observation, action, next_observation), 1.0)

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """[ψ(s, a, z), 1/(1−γ)]: (*b, E, d)."""
        return self._forever(self.model.successor_features(observation, z[..., :-1], action))

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:  # (B, k, E, d)
        """The same for k candidates."""
        return self._forever(self.model.candidate_successor_features(observation, z[..., :-1]))

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π of the model."""
        return self.model.act(observation, z[..., :-1])

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """[w, c] to z, whatever c."""
        return _extended(self.model.policy_latent(weights[..., :-1]), 0.0)

    @torch.no_grad()
    def feature_second_moment(self) -> Tensor | None:  # (d, d) float64
        """From the model's transitions, for no model stores the mean of its features; None if it brings none."""
        data = self.inference_set()
        if data is None:
            return None
        device, _ = placement(self)
        keys = ("observation", "action", ("next", "observation"))
        return second_moment(self.features(*(data.get(key).to(device) for key in keys)))

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """The model's."""
        return self.model.inference_set()

    def _forever(self, successor_features: Tensor) -> Tensor:
        return _extended(successor_features, 1 / (1 - self.discount))


def _extended(values: Tensor, constant: float) -> Tensor:  # (*b, d) -> (*b, d + 1)
    return torch.cat([values, values.new_full((*values.shape[:-1], 1), constant)], -1)
