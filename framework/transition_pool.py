"""All transitions a training draws from: a dataset, and what is practised on the way."""

from __future__ import annotations

from pathlib import Path

import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.episodes import episode_ends, later_rows
from bfmkit.interfaces import Dataset
from bfmkit.shards import ShardWriter, claim

TRAINING_KEYS = ["observation", "action", ("next", "observation"), ("next", "terminated")]


class TransitionPool:
    """A dataset on the training device, with room for more behind it; what is added is also written to disk.

    Args:
        dataset: never changed.
        device: of training.
        room: transitions that can be added.
        folder: where they are written, as a dataset of its own; what lies there from an earlier session is found again
            by :meth:`rewind`.
    """

    def __init__(self, dataset: Dataset, device: torch.device, room: int = 0, folder: Path | None = None) -> None:
        self._dataset = dataset
        given = dataset.to_device(device, TRAINING_KEYS)
        self._writer: ShardWriter | None = None
        self._count = len(dataset)
        self._ends = torch.empty(0, dtype=torch.int64)
        if room == 0 or folder is None:
            self._training = given
            return
        claim(folder, dataset.spec)
        self._writer = ShardWriter(folder, "shard-000", dataset.spec, room)
        self._training = given.new_empty(len(dataset) + room)
        self._training[: len(dataset)] = given

    def __len__(self) -> int:
        """The transitions that can be drawn now."""
        return self._count

    def batch(self, rows: torch.Tensor) -> TensorDict:  # (N,) int64 -> batch (N,)
        """What training needs of some transitions, on its device."""
        return self._training[rows.to(self._training.device)]

    def future(self, rows: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:  # (N,), (N,) int64 -> (N, o)
        """The next observation of the transition that many steps later in the same episode, or of its last one."""
        device = self._training.device
        later = later_rows(rows.to(device), steps.to(device), self._episode_ends())
        return self._training["next", "observation"][later]

    def _episode_ends(self) -> torch.Tensor:  # (m,) int64
        known = int(self._ends[-1]) + 1 if len(self._ends) else 0
        if known < self._count:
            added = episode_ends(self._training[known : self._count]) + known
            self._ends = torch.cat([self._ends.to(added.device), added])
        return self._ends

    def add(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Keep more transitions.

        Raises:
            ValueError: if there is no room for them.
        """
        if self._writer is None:
            raise ValueError("this pool was made without room for more")
        self._writer.append(transitions)
        end = self._count + len(transitions)
        self._training[self._count : end] = transitions.select(*TRAINING_KEYS).to(self._training.device)
        self._count = end

    def rewind(self, added: int) -> None:
        """Hold the first ``added`` of the transitions that were ever added, and forget the rest."""
        if self._writer is None:
            return
        self._writer.rewind(added)
        self._ends = self._ends[:0]
        self._count = len(self._dataset) + added
        kept = self._writer.written().select(*TRAINING_KEYS)
        self._training[len(self._dataset) : self._count] = kept.to(self._training.device)

    def read(self, rows: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Some transitions with all their keys, in the order asked for."""
        added = rows >= len(self._dataset)
        if self._writer is None or not added.any():
            return self._dataset.read(rows)
        written = self._writer.written()[rows[added] - len(self._dataset)]
        joined = torch.cat([self._dataset.read(rows[~added]), written])
        return joined[torch.cat([(~added).nonzero().squeeze(-1), added.nonzero().squeeze(-1)]).argsort()]
