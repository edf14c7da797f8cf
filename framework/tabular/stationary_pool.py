"""Finitely many stationary policies of a finite MDP without episodes, with exact average features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bfmkit.tabular.finite_mdp import FiniteMDP


@dataclass(frozen=True, eq=False)
class StationaryPool:
    r"""For each of P directions a stationary policy, its average features and their bias.

    φ̄_π + h_π(s) = E_π[φ(s') + h_π(s') | s],  μ_πᵀh_π = 0   (the Poisson equation, in each feature)

    The policies are the best for their directions with a discount near 1. φ̄_πᵀw is the average reward of π and h_πᵀw
    its bias: by how much more it earns in the long run from s than from elsewhere.
    """

    actions: Tensor  # (P, S) int64
    occupancy: Tensor  # (P, S), μ_π, how often each state is visited in the long run
    gains: Tensor  # (P, d), φ̄_π
    biases: Tensor  # (P, S, d), h_π

    @classmethod
    def solve(cls, mdp: FiniteMDP, directions: Tensor, discount: float = 0.99) -> StationaryPool:  # (P, d)
        """Work out the policies and all that is known of them.

        Raises:
            ValueError: if a policy has more than one recurrent class, so that its average depends on where it starts.
        """
        actions = mdp.optimal_policy(directions, discount)
        moves = mdp.transitions[torch.arange(mdp.states), actions]  # (P, S, S)
        identity = torch.eye(mdp.states, dtype=moves.dtype)
        balance = identity - moves
        if (torch.linalg.matrix_rank(balance) < mdp.states - 1).any():
            raise ValueError("a policy has more than one recurrent class; give the layout some slip")
        # μᵀ(I − P) = 0 and Σμ = 1, the sum in place of one of the redundant equations.
        system = balance.mT.clone()
        system[:, -1] = 1.0
        occupancy = torch.linalg.solve(system, identity[-1].expand(len(actions), -1))
        gains = occupancy @ mdp.features
        biases = _bias(moves, occupancy, mdp.features.expand(len(actions), -1, -1))
        return cls(actions, occupancy, gains, biases)

    @property
    def feature_span(self) -> float:
        """D, the largest ‖h_π(s) − h_π(s')‖ over policies and pairs of states."""
        return max(float(torch.cdist(bias, bias).max()) for bias in self.biases)

    def bias(self, mdp: FiniteMDP, policies: Tensor, rewards: Tensor) -> Tensor:  # (B), (B, S) -> (B, S)
        """Bias of each of B policies for a reward of each state that a step leads to."""
        moves = mdp.transitions[torch.arange(mdp.states), self.actions[policies]]
        return _bias(moves, self.occupancy[policies], rewards.unsqueeze(-1)).squeeze(-1)

    def value_span(self, weights: Tensor) -> Tensor:  # (*b, d) -> (*b)
        """The largest span of h_πᵀw over the policies."""
        values = torch.einsum("psd,...d->...ps", self.biases, weights)
        return (values.amax(-1) - values.amin(-1)).amax(-1)


def _bias(moves: Tensor, occupancy: Tensor, values: Tensor) -> Tensor:  # (P, S, S), (P, S), (P, S, n) -> (P, S, n)
    """h = E[value(s') + h(s') | s] − average, with μᵀh = 0."""
    identity = torch.eye(moves.shape[-1], dtype=moves.dtype)
    average = occupancy.unsqueeze(1) @ values
    return torch.linalg.solve(identity - moves + occupancy.unsqueeze(1), moves @ values - average)
