"""Temporal-difference joint-embedding prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import BFM, EnvironmentSpec, Networks
from bfmkit.models.layers import project
from bfmkit.models.learned_bfm import LearnedBFM
from bfmkit.registry import register
from bfmkit.utils.checks import OpenShare, PositiveInt
from bfmkit.utils.linalg import second_moment


@register(BFM, "td_jepa")
class TDJepa(LearnedBFM):
    """TD-JEPA: state codes that policies read and task codes that rewards are linear in, each predicting the other.

    φ(s, a, s') = t(s'),   ψ(s, a, z) = T(e(s), z, a),   π_z(s) = π(e(s), z),   z = √d · w / ‖w‖

    e is the state encoder, t the task encoder, on the sphere of radius √d; T predicts the discounted sum of t under
    π_z.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e, t, T and π.
        dim: d.
        state_dim: length of e(s), on a sphere of its own.
        discount: γ.

    Raises:
        ValueError: if a size is not positive or ``discount`` lies outside (0, 1).

    Example:
        ``bfm: {type: td_jepa, dim: 50, networks: {type: two_stream}}``

    Reference:
        Bagatella et al., TD-JEPA: latent-predictive representations for zero-shot reinforcement learning, 2025.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        networks: Networks,
        dim: PositiveInt = 50,
        state_dim: PositiveInt = 256,
        discount: OpenShare = 0.98,
    ) -> None:
        super().__init__(spec, dim, discount)
        self.state_dim, self.networks = state_dim, networks
        self.state_encoder = networks.encoder(spec.observation_size, state_dim)
        self.task_encoder = networks.encoder(spec.observation_size, dim)
        self.successor_network = networks.critic(state_dim, spec.action_size, dim)
        self.actor_network = networks.actor(state_dim, spec.action_size, dim)

    def state_code(self, scaled: Tensor) -> Tensor:  # (*b, o) -> (*b, h)
        """e of scaled observations, of length √h."""
        return project(self.state_encoder(scaled))

    def task_code(self, scaled: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """t of scaled observations, of length √d."""
        return project(self.task_encoder(scaled))

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """t(s'); the other two arguments are not looked at."""
        return self.task_code(self.scaled(next_observation))

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """T(e(s), z, a), or T(e(s), z, π_z(s)): (*b, E, d)."""
        code, z = self.state_code(self.scaled(observation)), z.to(observation.dtype)
        return self.successor_network(code, z, self.actor_network(code, z) if action is None else action)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π(e(s), z)."""
        return self.actor_network(self.state_code(self.scaled(observation)), z.to(observation.dtype))

    @torch.no_grad()
    def fit_second_moment(self, next_observations: Tensor) -> None:  # (n, o)
        """Take the second moment of t from data."""
        self.second_moment.copy_(second_moment(self.task_code(self.scaled(next_observations))))
