"""Seeds, episodes and steps of the rows of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LISTS = ("seeds", "episode", "step", "terminated", "cut")


class EpisodeClock:
    """Seed, episode and step of each of B rows, which begin and end their episodes independently.

    On its own because TorchRL's environments are slow to take an attribute.

    Args:
        rows: B.
        episode_steps: the length of a whole episode.
    """

    def __init__(self, rows: int, episode_steps: int) -> None:
        self.episode_steps = episode_steps
        self.seeds = list(range(rows))
        self.episode = [0] * rows
        """The number of each row's next episode."""
        self.step = [0] * rows
        """Steps of each row's present episode."""
        self.terminated = [False] * rows
        """Whether a row's episode is over for good."""
        self.cut = [False] * rows
        """Whether the environment itself has cut a row's episode before its time."""

    def seed(self, seeds: Sequence[int], episode: int | Sequence[int] = 0) -> None:
        """Give each row its seed; its next episode is ``episode``, one for all or one a row.

        Raises:
            ValueError: if there is not one seed a row.
        """
        if len(seeds) != len(self.seeds):
            raise ValueError(f"{len(self.seeds)} rows need as many seeds, got {len(seeds)}")
        self.seeds = [int(seed) for seed in seeds]
        self.episode = [episode] * len(seeds) if isinstance(episode, int) else [int(number) for number in episode]

    def begin(self, rows: Tensor | None = None) -> list[tuple[int, int, int]]:  # (B,) bool
        """Start an episode in every row, or in those of a mask: (row, seed, number of the episode) of each."""
        chosen = range(len(self.seeds)) if rows is None else rows.nonzero().squeeze(-1).tolist()
        begun = [(row, self.seeds[row], self.episode[row]) for row in chosen]
        for row in chosen:
            self.episode[row] += 1
            self.step[row], self.terminated[row], self.cut[row] = 0, False, False
        return begun

    def advance(self, rows: Tensor | None = None) -> list[int]:  # (B,) bool
        """Count a step of every row, or of those of a mask, whose episode is not over; gives those rows."""
        limit, terminated, cut = self.episode_steps, self.terminated, self.cut
        going = [row for row, step in enumerate(self.step) if step < limit and not terminated[row] and not cut[row]]
        if rows is not None:
            chosen = rows.tolist()
            going = [row for row in going if chosen[row]]
        for row in going:
            self.step[row] += 1
        return going

    def truncated(self) -> Tensor:  # (B,) bool
        """Whether each row's time is up, without its having ended for good."""
        rows = zip(self.step, self.terminated, self.cut, strict=True)
        # From NumPy: torch takes several times as long to read a list.
        return torch.from_numpy(np.array([(step >= self.episode_steps or cut) and not end for step, end, cut in rows]))

    def snapshot(self) -> dict[str, Any]:
        """Seeds, episodes and steps in plain lists."""
        return {name: list(getattr(self, name)) for name in _LISTS}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`snapshot`."""
        for name in _LISTS:
            setattr(self, name, list(state[name]))
