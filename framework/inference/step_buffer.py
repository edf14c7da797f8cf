"""Steps that a belief has not taken in yet, kept in an agent's state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor

KEPT = "kept"
"""The entry of an agent's state that holds them."""


class Steps(NamedTuple):
    """n steps of each of m runs, oldest first."""

    observation: Tensor  # (m, n, o)
    action: Tensor  # (m, n, a)
    next_observation: Tensor  # (m, n, o)
    reward: Tensor  # (m, n) float64, zero where not observed
    observed: Tensor  # (m, n) bool on the CPU

    def of(self, rows: Tensor) -> Steps:  # (m',) int64
        """Those of some of the runs."""
        return Steps(*(each[rows.to(each.device)] for each in self))

    def then(self, later: Steps) -> Steps:
        """These, and later ones of the same runs."""
        return Steps(*(torch.cat(pair, 1) for pair in zip(self, later, strict=True)))


def blank(runs: int, room: int, sizes: tuple[int, int], example: Tensor) -> TensorDict:  # batch (B,)
    """Room for so many steps of observations and actions of those sizes, on the device and of the type of an example.

    ``count`` (B,) says how many steps of each run are there; what lies beyond them is of an earlier time.
    """
    observations, actions = sizes
    moments = torch.zeros(runs, room, dtype=torch.float64, device=example.device)
    return TensorDict(
        {
            "observation": example.new_zeros(runs, room, observations),
            "action": example.new_zeros(runs, room, actions),
            "next_observation": example.new_zeros(runs, room, observations),
            "reward": moments,
            "observed": torch.zeros(runs, room, dtype=torch.bool),
            "count": torch.zeros(runs, dtype=torch.int64),
        },
        batch_size=[runs],
    )


def keep(kept: TensorDict, step: Steps, runs: Tensor) -> None:  # batch (B,), n = 1, (B,) bool
    """Put down one step of those runs of a mask."""
    counts = kept.get("count")
    for count, rows in groups(counts, runs):
        for name, value in zip(Steps._fields, step, strict=True):
            if rows is None:
                kept.get(name).select(1, count).copy_(value.select(1, 0))
            else:
                there = rows.to(value.device)
                kept.get(name)[there, count] = value[there, 0]
    counts.add_(runs)


def kept_steps(kept: TensorDict, rows: Tensor | None, count: int) -> Steps:  # rows (m,) int64; None: all
    """The first ``count`` steps of some runs; they go on being kept."""
    steps = Steps(*(kept.get(name)[:, :count] for name in Steps._fields))
    return steps if rows is None else steps.of(rows)


def groups(counts: Tensor, runs: Tensor) -> Iterator[tuple[int, Tensor | None]]:  # (B,) int64, (B,) bool
    """The runs of a mask that have equally many steps: how many, and which runs, (m,); None: all that there are."""
    known = counts.tolist()
    if bool(runs.all()) and known.count(known[0]) == len(known):
        yield known[0], None
        return
    for count in sorted({known[run] for run in runs.nonzero().squeeze(-1).tolist()}):
        yield count, ((counts == count) & runs).nonzero().squeeze(-1)
