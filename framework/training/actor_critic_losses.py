"""Losses of critics and actors, whatever the critic predicts."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def pessimistic(values: Tensor, coefficient: float) -> Tensor:  # (E, *b) -> (*b)
    """mean_e x_e − coefficient · mean over ordered pairs e ≠ e' of |x_e − x_e'|."""
    members = len(values)
    if members == 1 or coefficient == 0:
        return values.mean(0)
    # Pairs without a tensor of indices: making one stops a GPU, and cannot be recorded.
    spread = torch.stack([(one - other).abs() for one, other in combinations(values, 2)]).mean(0)
    return values.mean(0) - coefficient * spread


def with_clipped_noise(action: Tensor, deviation: float, clip: float) -> Tensor:  # (*b, a)
    """Actions plus Gaussian noise of at most ``clip``, in [-1, 1]."""
    noise = (deviation * torch.randn_like(action)).clamp_(-clip, clip)
    noisy = action + noise
    # Clamped in value, not in gradient, so that an actor at its limits still learns.
    return noisy + (noisy.clamp(-1, 1) - noisy).detach()


def frozen_call(network: nn.Module, *inputs: Tensor) -> Tensor:
    """``network(*inputs)`` through detached weights: gradients reach the inputs, and no time is spent on the rest."""
    frozen = {name: weight.detach() for name, weight in network.named_parameters()}
    return functional_call(network, frozen, inputs)


def embedded(critic: nn.Module, observation: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """What a critic makes of (s, z) alone, its further arguments in calls with other actions; () if it makes nothing.

    A critic that embeds them apart from the action has a method ``embed(observation, z)``.
    """
    return critic.embed(observation, z) if hasattr(critic, "embed") else ()  # type: ignore[operator]


def policy_value(successor_features: Tensor, z: Tensor, pessimism: float) -> Tensor:  # (N, E, d), (N, d) -> (N,)
    """pessimistic_e ψ_eᵀz."""
    return pessimistic((successor_features @ z.unsqueeze(-1)).squeeze(-1).movedim(-1, 0), pessimism)


def directional_error(error: Tensor, z: Tensor) -> Tensor:  # (N, E, d), (N, d) -> (N, E)
    """The error of ψ along z: eᵀz / ‖z‖, that of the value under z's reward in units of one feature."""
    return (error * nn.functional.normalize(z, dim=-1).unsqueeze(-2)).sum(-1)


def orthonormality_loss(features: Tensor) -> tuple[Tensor, Tensor]:  # (N, d)
    """mean_{i≠j} (φ_iᵀφ_j)² and −2 mean_i φ_iᵀφ_i; their sum is ‖E[φφᵀ] − I‖² up to a constant.

    Raises:
        ValueError: for a single row, which has no other.
    """
    rows = len(features)
    if rows < 2:
        raise ValueError(f"transitions are compared with each other: a batch must have at least 2, got {rows}")
    lengths = features.square().sum(-1)
    # ‖ΦΦᵀ‖² = ‖ΦᵀΦ‖², and the second matrix is d×d.
    squares = (features.mT @ features).square().sum() - lengths.square().sum()
    return squares / (rows * (rows - 1)), -2 * lengths.mean()
