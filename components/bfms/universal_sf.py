"""Universal successor features."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.learned_bfm import LearnedBFM
from bfmkit.registry import register
from bfmkit.utils.checks import OpenShare
from bfmkit.utils.linalg import second_moment


@register(BFM, "universal_sf")
class UniversalSF(LearnedBFM):
    """Universal successor features ψ(s, a, z): the discounted sum of given features φ under π_z, for all z.

    z = √d · w / ‖w‖,   π_z(s) ≈ argmax_a ψ(s, a, z)ᵀz

    d is the feature map's. Observations are standardised before the map and the networks see them.

    Args:
        spec: sizes of the environment.
        features: φ.
        networks: the architecture of ψ and π.
        discount: γ.

    Raises:
        ValueError: if ``discount`` lies outside (0, 1).

    Example:
        ``bfm: {type: universal_sf, features: {type: identity}, networks: {type: two_stream}}``

    Reference:
        Borsa et al., Universal successor features approximators, 2019; Touati et al., Does zero-shot reinforcement
        learning exist?, 2023.
    """

    def __init__(
        self, spec: EnvironmentSpec, features: FeatureMap, networks: Networks, discount: OpenShare = 0.98
    ) -> None:
        super().__init__(spec, features.dim, discount)
        self.feature_map = features
        self.successor_network = networks.critic(spec.observation_size, spec.action_size, self.dim)
        self.actor_network = networks.actor(spec.observation_size, spec.action_size, self.dim)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ of each transition."""
        return self.feature_map.features(self.scaled(observation), action, self.scaled(next_observation))

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """ψ(s, a, z), or ψ(s, π_z(s), z): (*b, E, d)."""
        s, z = self.scaled(observation), z.to(observation.dtype)
        return self.successor_network(s, z, self.actor_network(s, z) if action is None else action)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π_z(s)."""
        return self.actor_network(self.scaled(observation), z.to(observation.dtype))

    @torch.no_grad()
    def fit_features(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Take from data what the feature map wants of them, and then the second moment of φ."""
        s, following = self.scaled(transitions["observation"]), self.scaled(transitions["next", "observation"])
        self.feature_map.fit(s, transitions["action"], following)
        self.second_moment.copy_(second_moment(self.feature_map.features(s, transitions["action"], following)))
