"""Bellman error of the successor features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM


@dataclass(frozen=True)
class Consistency:
    """How the values v = ψ(s, a, z)ᵀw agree with the values v' = ψ(s', π_z(s'), z)ᵀw and rewards r = φ(s')ᵀw that follow.

    Args:
        error: √E[(r + γv' − v)²]/√(E_z Var[v | z]): what values are off by from one step to the next, beside how much
            they vary over states. 0 for the true ψ where what follows (s, a) is certain; where it is not, its spread
            is added. Infinite where values do not vary.
        reward_scale: Σ(v − γv')r/Σr²: the reward that ψ implies, beside the model's own. Where what follows is certain
            1 for the true ψ and c for c times it; 0 for a ψ that knows nothing of rewards.
    """  # noqa: E501

    error: float
    reward_scale: float


@torch.no_grad()
def bellman_consistency(
    bfm: BFM,
    transitions: TensorDictBase,  # batch (n,): observation, action, ("next", "observation")
    weights: Tensor,  # (k, d), rewards to ask about, z = policy_latent(w); transition i meets weights i mod k
) -> Consistency:
    """Ask about each transition for one z, ψ being the mean of the critics.

    Raises:
        ValueError: with fewer than two transitions for each of the weights.
    """
    observation, action = transitions["observation"], transitions["action"]
    following = transitions["next", "observation"]
    rows, kinds = len(observation), len(weights)
    if rows < 2 * kinds:
        raise ValueError(f"{kinds} weights need at least {2 * kinds} transitions, got {rows}")
    asked = torch.arange(rows, device=weights.device) % kinds
    chosen = weights[asked]
    z = bfm.policy_latent(chosen.to(observation.dtype))

    def worth(x: Tensor) -> Tensor:  # (n, d) -> (n,)
        return (x.double() * chosen).sum(-1)

    reward = worth(bfm.features(observation, action, following))
    later = worth(bfm.successor_features(following, z).mean(-2))
    now = worth(bfm.successor_features(observation, z, action).mean(-2))
    implied = now - bfm.discount * later
    variance = torch.stack([now[asked == kind].var() for kind in range(kinds)]).mean()
    error = (reward - implied).square().mean()
    # Values that differ by rounding alone do not vary.
    varies = variance > 1e-10 * now.square().mean()
    power = reward.square().sum()
    return Consistency(
        error=float((error / variance).sqrt()) if varies else math.inf,
        reward_scale=float(implied @ reward / power) if power > 0 else math.nan,
    )
