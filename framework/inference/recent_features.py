"""Features of an agent's last steps, for labels that come late."""

from __future__ import annotations

import torch
from torch import Tensor

Stretch = int | tuple[int, int]
"""Past steps of a run: the last n; or (newest, oldest), from ``newest`` steps ago up to, but not with, ``oldest``."""


def write(recent: Tensor, features: Tensor, first: Tensor, rows: Tensor) -> None:  # (B, H, d), (m, n, d), (m,), (m,)
    """Write n steps of m runs into the ring buffer, in place; the oldest is each run's step number ``first``."""
    room, count = recent.shape[1], features.shape[1]
    kept = min(room, count)
    slots = (first.unsqueeze(-1) + torch.arange(count - kept, count)) % room
    recent[rows.unsqueeze(-1).to(recent.device), slots.to(recent.device)] = features[:, count - kept :].to(recent.dtype)


def total(
    recent: Tensor,  # (B, H, d)
    steps: Tensor,  # (B,) int64, how many steps each run has taken
    stretch: Stretch,
) -> tuple[Tensor, Tensor]:  # (B, d) float64, (B,) float64
    """Sum of the features of a stretch of steps, and the number of steps; those before a run's first do not count.

    Raises:
        ValueError: if the stretch is empty, or reaches farther back than is kept.
    """
    newest, oldest = (0, stretch) if isinstance(stretch, int) else stretch
    room = recent.shape[1]
    if not 0 <= newest < oldest:
        raise ValueError(f"a label needs at least one past step, got {stretch}")
    if oldest > room:
        raise ValueError(f"labels reach {room} steps back (label_memory), got {oldest}")
    past = steps.unsqueeze(-1) - 1 - torch.arange(newest, oldest)  # (B, n)
    exists = (past >= 0).to(recent.device)
    rows = torch.arange(len(steps), device=recent.device).unsqueeze(-1)
    features = recent[rows, past.clamp(min=0).to(recent.device) % room].double()
    return (features * exists.unsqueeze(-1)).sum(1), exists.sum(-1).double()
