"""Finite Markov decision processes with exact solutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import torch
from torch import Tensor

from bfmkit.interfaces.spec import EnvironmentSpec

TOLERANCE = 1e-11
"""An action counts as better if its value is higher by this share of the largest value there could be."""


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    r"""States, actions, where they lead, and the features that rewards are linear in: r(s, a, s') = φ(s')ᵀw.

    Everything is float64, and exact up to rounding for every w. Policies are tables, state -> action.

    Raises:
        ValueError: if sizes do not fit, or probabilities are none.
    """

    transitions: Tensor  # (S, A, S), the probabilities of the next state
    features: Tensor  # (S, d), φ of the state that a transition leads to
    start: Tensor  # (S,), the probabilities of an episode's first state
    tasks: Mapping[str, Tensor]  # name -> weights (d,)

    def __post_init__(self) -> None:
        states, _, following = self.transitions.shape
        if states != following or self.features.shape[0] != states or self.start.shape != (states,):
            sizes = [tuple(tensor.shape) for tensor in (self.transitions, self.features, self.start)]
            raise ValueError(f"transitions (S, A, S), features (S, d) and start (S,) do not fit: {sizes}")
        for name, probabilities in (("transitions", self.transitions), ("start", self.start)):
            if probabilities.min() < 0 or (probabilities.sum(-1) - 1).abs().max() > 1e-9:
                raise ValueError(f"{name} must be probabilities that add up to 1")
        for name, weights in self.tasks.items():
            if weights.shape != (self.dim,):
                raise ValueError(f"the weights of task {name!r} must be ({self.dim},), got {tuple(weights.shape)}")

    @property
    def states(self) -> int:
        """S."""
        return self.transitions.shape[0]

    @property
    def actions(self) -> int:
        """A."""
        return self.transitions.shape[1]

    @property
    def dim(self) -> int:
        """d."""
        return self.features.shape[1]

    def spec(self, episode_steps: int) -> EnvironmentSpec:
        """As an environment: one-hot observations, an action is the largest entry, physics is the state's number.

        The domain's name holds a checksum of transitions and features, so models and data of different MDPs never meet.
        """
        # Rounded, so that another machine's last digit makes no other MDP.
        tables = [tensor.numpy().round(9) + 0.0 for tensor in (self.transitions, self.features)]
        checksum = crc32(b"".join(table.tobytes() for table in tables))
        return EnvironmentSpec(
            domain=f"tabular_{checksum:08x}",
            observation_size=self.states,
            action_size=self.actions,
            physics_size=1,
            episode_steps=episode_steps,
            control_timestep=1.0,
            tasks=tuple(self.tasks),
            quantities=tuple(f"feature_{index}" for index in range(self.dim)),
        )

    def successor_features(self, policy: Tensor, discount: float) -> Tensor:  # (*b, S) int64 -> (*b, S, d)
        """ψ^π = (I - γ P_π)⁻¹ P_π Φ, the expected discounted sum of the features from the next state on."""
        moves = self._moves(policy)
        return torch.linalg.solve(self._identity() - discount * moves, moves @ self.features)

    def optimal_policy(self, weights: Tensor, discount: float) -> Tensor:  # (*b, d) -> (*b, S) int64
        """The best policy for each reward φᵀw, by policy iteration; any one where several are best."""
        reward = torch.einsum("xay,yd,...d->...xa", self.transitions, self.features, weights.double())
        scale = reward.abs().amax(dim=(-2, -1), keepdim=True) / (1 - discount)
        policy = reward.argmax(-1)
        while True:
            gained = reward.gather(-1, policy.unsqueeze(-1))
            value = torch.linalg.solve(self._identity() - discount * self._moves(policy), gained).squeeze(-1)
            action_value = reward + discount * torch.einsum("xay,...y->...xa", self.transitions, value)
            best, action = action_value.max(-1)
            # Without a margin, rounding could make two equal policies take turns for ever.
            better = best > action_value.gather(-1, policy.unsqueeze(-1)).squeeze(-1) + TOLERANCE * scale.squeeze(-1)
            if not better.any():
                return policy
            policy = torch.where(better, action, policy)

    def _moves(self, policy: Tensor) -> Tensor:  # (*b, S) -> (*b, S, S)
        return self.transitions[torch.arange(self.states, device=policy.device), policy]

    def _identity(self) -> Tensor:  # (S, S)
        return torch.eye(self.states, dtype=self.transitions.dtype, device=self.transitions.device)
