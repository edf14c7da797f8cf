"""Pools of policies of a finite MDP, with exact successor features over episodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bfmkit.tabular.finite_mdp import FiniteMDP


@dataclass(frozen=True, eq=False)
class PolicyPool:
    r"""For each of P directions, the policy that is best for it over H steps, by backward induction in float64.

    ψ_t(s, i) = E[Σ_{k=t}^{H−1} γ^{k−t} φ(s_{k+1})] under policy i from state s on;  policy i maximises ψ_0ᵀ direction_i

    The policies depend on the step as well as on the state, so that no policy whatever, not even one that changes its
    mind on the way, does better on its own direction.
    """

    directions: Tensor  # (P, d)
    actions: Tensor  # (H, P, S) int64, what each policy does at each step in each state
    successor_features: Tensor  # (H + 1, S, P, d), ψ_t; the last is 0
    start_features: Tensor  # (P, d), ψ_0 averaged over the first state
    gaps: Tensor
    """(H, P, S, A), how much of its direction's return a policy loses by taking each action once; 0 for the best."""

    @classmethod
    def solve(cls, mdp: FiniteMDP, directions: Tensor, horizon: int, discount: float) -> PolicyPool:  # (P, d)
        """Work out the policies and all that is known of them."""
        policies, dim = directions.shape
        successor_features = torch.zeros(horizon + 1, mdp.states, policies, dim, dtype=torch.float64)
        actions, gaps = [], []
        for step in reversed(range(horizon)):
            # (S, P, d): what arriving in a state is worth, the feature that is met there included.
            arriving = mdp.features.unsqueeze(1) + discount * successor_features[step + 1]
            worth = torch.einsum("xay,yp->pxa", mdp.transitions, (arriving * directions).sum(-1))
            best, action = worth.max(-1)
            actions.append(action)
            gaps.append(best.unsqueeze(-1) - worth)
            moves = mdp.transitions[torch.arange(mdp.states), action]  # (P, S, S)
            successor_features[step] = torch.einsum("pxy,ypd->xpd", moves, arriving)
        return cls(
            directions,
            torch.stack(actions[::-1]),
            successor_features,
            torch.einsum("x,xpd->pd", mdp.start, successor_features[0]),
            torch.stack(gaps[::-1]),
        )
