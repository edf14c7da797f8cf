"""Forward-backward representations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bfmkit.interfaces import BFM, EnvironmentSpec, Networks
from bfmkit.models.layers import project
from bfmkit.models.learned_bfm import RELATIVE_RIDGE, LearnedBFM
from bfmkit.registry import register
from bfmkit.utils.checks import OpenShare, PositiveInt
from bfmkit.utils.linalg import ridged_inverse, second_moment


@register(BFM, "forward_backward")
class ForwardBackward(LearnedBFM):
    """Forward-backward model: F(s, a, z)ᵀB(s⁺) is the density of discounted visits to s⁺ under π_z over the data's ρ.

    ψ(s, a, z) = F(s, a, z),   φ(s⁺) = C⁻¹B(s⁺),   C = E_ρ[B Bᵀ],   z = √d · w / ‖w‖

    With this φ, least squares on the data gives w = E_ρ[B r], so Q(s, a) = ψᵀw is the papers' F ᵀE_ρ[B r].
    Observations are standardised with the data's mean and deviation, which are stored with the weights.

    Args:
        spec: sizes of the environment, and the names of its observation's entries.
        networks: the architecture of F, B and π.
        dim: d.
        discount: γ.
        entries: the entries of the observation that B reads, by name; all of them if not given. Rewards outside them
            cannot be expressed, and no dimension is spent on what rewards do not depend on.

    Raises:
        ValueError: if ``dim`` is not positive, ``discount`` lies outside (0, 1), or there is no such entry.

    Example:
        ``bfm: {type: forward_backward, dim: 50, networks: {type: two_stream}}``

    Reference:
        Touati and Ollivier, Learning one representation to optimize all rewards, 2021.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        networks: Networks,
        dim: PositiveInt = 50,
        discount: OpenShare = 0.98,
        entries: list[str] | None = None,
    ) -> None:
        super().__init__(spec, dim, discount)
        o, a = spec.observation_size, spec.action_size
        self.forward_network = networks.critic(o, a, dim)
        self.backward_network: nn.Module
        if entries is None:
            self.backward_network = networks.encoder(o, dim)
        else:
            columns = spec.entries(entries)
            self.backward_network = EntryEncoder(networks.encoder(len(columns), dim), columns)
        self.actor_network = networks.actor(o, a, dim)
        self.register_buffer("inverse_second_moment", torch.eye(dim))

    def backward_map(self, scaled: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """B of scaled observations, of length √d."""
        return project(self.backward_network(scaled))

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ = C⁻¹B(s'); the other two arguments are not looked at."""
        return self.backward_map(self.scaled(next_observation)) @ self.inverse_second_moment

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """F(s, a, z), or F(s, π_z(s), z): (*b, E, d)."""
        s, z = self.scaled(observation), z.to(observation.dtype)
        return self.forward_network(s, z, self.actor_network(s, z) if action is None else action)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π_z(s)."""
        return self.actor_network(self.scaled(observation), z.to(observation.dtype))

    def feature_second_moment(self) -> Tensor:  # (d, d) float64
        """E[φφᵀ] = C⁻¹ C C⁻¹, which is C⁻¹ but for the ridge."""
        inverse = ridged_inverse(self.second_moment, RELATIVE_RIDGE)
        return inverse @ self.second_moment @ inverse

    @torch.no_grad()
    def fit_second_moment(self, next_observations: Tensor) -> None:  # (n, o)
        """Take C from data; float64, with a ridge relative to its mean diagonal."""
        moment = second_moment(self.backward_map(self.scaled(next_observations)))
        self.second_moment.copy_(moment)
        self.inverse_second_moment.copy_(ridged_inverse(moment, RELATIVE_RIDGE))


class EntryEncoder(nn.Module):
    """An encoder that reads some entries of the observation alone."""

    columns: Tensor

    def __init__(self, network: nn.Module, columns: list[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def forward(self, observation: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """The network on its entries."""
        return self.network(observation[..., self.columns])
