"""Agreement of predicted and observed returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bfmkit.evaluation.diagnostics.rollouts import Rollouts
from bfmkit.interfaces import BFM

TAIL = 0.01
"""A return counts if what lies beyond the end of its episode weighs less than this."""


@dataclass(frozen=True)
class Agreement:
    """Predictions p beside returns g."""

    correlation: float  # of p and g; 1 for predictions that are right up to scale and offset
    scale: float  # Σpg/Σg², how many times too large the predictions are; 1 for right ones
    error: float  # √E[(p − g)²]/√E[g²]
    points: int  # how many were compared


def compare(predicted: Tensor, actual: Tensor) -> Agreement:  # (n,), (n,)
    """How predictions and returns agree; NaN where there is nothing to compare, or nothing varies."""
    p, g = predicted.double(), actual.double()
    if len(p) < 2:
        return Agreement(torch.nan, torch.nan, torch.nan, len(p))
    deviations = (p - p.mean()).norm() * (g - g.mean()).norm()
    correlation = (p - p.mean()) @ (g - g.mean()) / deviations if deviations > 0 else torch.tensor(torch.nan)
    scale, error = p @ g / (g @ g), (p - g).norm() / g.norm()
    return Agreement(float(correlation), float(scale), float(error), len(p))


def discounted_returns(rewards: Tensor, discount: float) -> Tensor:  # (T, B) -> (T, B)
    """Σ_k γᵏ r_{t+k} from every step t on, rewards being 0 once an episode is over."""
    total = torch.zeros_like(rewards[0])
    returns = torch.empty_like(rewards)
    for step in range(len(rewards) - 1, -1, -1):
        total = rewards[step] + discount * total
        returns[step] = total
    return returns


def comparable(rollouts: Rollouts, discount: float) -> Tensor:  # (T, B) bool
    """The steps whose returns are known up to :data:`TAIL`: the episode goes on long enough, or ends for good."""
    left = rollouts.running.long().flip(0).cumsum(0).flip(0)  # (T, B), steps from t to the end
    known = (discount ** left.double() < TAIL) | rollouts.terminated
    return rollouts.running & known


@torch.no_grad()
def predictions(
    bfm: BFM,
    rollouts: Rollouts,
    z: Tensor,  # (B, d)
    weights: Tensor,  # (B, d)
    steps: Tensor,  # (n,) int64
    rows: Tensor,  # (n,) int64
) -> Tensor:  # (n,) float64
    """ψ(s, a, z)ᵀw of chosen steps, ψ the mean of the critics."""
    place = z.device
    observation = rollouts.observation[steps, rows].to(place)
    action = rollouts.action[steps, rows].to(place)
    psi = bfm.successor_features(observation, z[rows.to(place)].to(observation.dtype), action).mean(-2)
    return (psi.double() * weights[rows.to(place)]).sum(-1).cpu()
