"""Transition pool of a training: a dataset and self-collected episodes."""

from __future__ import annotations

from pathlib import Path

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.data.shards import ShardWriter, claim
from bfmkit.interfaces import Dataset
from bfmkit.utils.checks import one_per_row

TRAINING_KEYS = ["observation", "action", ("next", "observation"), ("next", "terminated")]

PART_OF_FREE_MEMORY = 0.7
"""How much of what is free on an accelerator the data may take; the networks need the rest."""
LARGEST_COPY = 1 << 30
"""Bytes that are worth a copy where the memory map lies in the same memory anyway."""
READ_AT_ONCE = 100_000


class TransitionPool:
    """Transition pool on the training device if it fits there, with room for self-collected episodes.

    If it does not fit, batches are gathered from the memory map and sent to the device through pinned memory, while
    the device is still busy with the ones before. Either way the same rows give the same batch. What is added is also
    written to disk.

    Args:
        dataset: never changed.
        device: of training.
        room: transitions that can be added.
        folder: where they are written, as a dataset of its own; what lies there from an earlier session is found again
            by :meth:`rewind`.
        on_device: whether to copy the data to the device; if not given, whether they fit.
    """

    def __init__(
        self,
        dataset: Dataset,
        device: torch.device,
        room: int = 0,
        folder: Path | None = None,
        on_device: bool | None = None,
    ) -> None:
        self._dataset, self._device = dataset, device
        self._writer: ShardWriter | None = None
        self._count = len(dataset)
        self._ends = torch.empty(0, dtype=torch.int64)
        if folder is None:
            room = 0
        if room > 0 and folder is not None:
            claim(folder, dataset.spec)
            self._writer = ShardWriter(folder, "shard-000", dataset.spec, room)
        self.on_device = fits(dataset, room, device) if on_device is None else on_device
        self._training = self._copied(room) if self.on_device else None

    def _copied(self, room: int) -> TensorDict:
        if room == 0:
            return self._dataset.to_device(self._device, TRAINING_KEYS)
        row = self._dataset.read_keys(torch.zeros(1, dtype=torch.int64), TRAINING_KEYS).to(self._device)
        table = row.new_empty(len(self._dataset) + room)
        # Piece by piece: the data must not be in memory twice.
        for rows in torch.arange(len(self._dataset)).split(READ_AT_ONCE):
            table[int(rows[0]) : int(rows[-1]) + 1] = self._dataset.read_keys(rows, TRAINING_KEYS).to(self._device)
        return table

    def __len__(self) -> int:
        """Number of transitions that can be drawn now."""
        return self._count

    def batch(self, rows: torch.Tensor) -> TensorDict:  # (*b) int64 -> batch (*b)
        """Entries of some transitions that training needs, on its device."""
        if self._training is not None:
            return self._training[rows.to(self._training.device)]
        found = self._gathered(rows.flatten(), TRAINING_KEYS).reshape(rows.shape)
        if self._device.type == "cpu":
            return found
        return found.pin_memory().to(self._device, non_blocking=True)

    def future(self, rows: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:  # (*b), (*b) int64 -> (*b, o)
        """Observation so many steps later in the same episode, or the last one of that episode."""
        ends = self._episode_ends()
        later = later_rows(rows.to(ends.device), steps.to(ends.device), ends)
        return self.batch(later)["next", "observation"]

    def _gathered(self, rows: torch.Tensor, keys: list) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Some transitions, from dataset and disk."""
        rows = rows.cpu()
        added = rows >= len(self._dataset)
        if self._writer is None or not added.any():
            return self._dataset.read_keys(rows, keys)
        written = self._writer.written().select(*keys)[rows[added] - len(self._dataset)]
        joined = torch.cat([self._dataset.read_keys(rows[~added], keys), written])
        return joined[torch.cat([(~added).nonzero().squeeze(-1), added.nonzero().squeeze(-1)]).argsort()]

    def _episode_ends(self) -> torch.Tensor:  # (m,) int64
        known = int(self._ends[-1]) + 1 if len(self._ends) else 0
        found = [self._ends]
        for first in range(known, self._count, READ_AT_ONCE):
            # One row more, to see whether the piece's last transition goes on.
            stop = min(first + READ_AT_ONCE + 1, self._count)
            keys = ["observation", ("next", "observation"), ("next", "terminated")]
            if self._training is not None:
                piece = self._training[first:stop]
            else:
                piece = self._gathered(torch.arange(first, stop), keys)
            ends = episode_ends(piece) + first
            found.append(ends if stop == self._count else ends[:-1])
        if len(found) > 1:
            self._ends = torch.cat([each.to(found[-1].device) for each in found])
        return self._ends

    def add(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Add transitions.

        Raises:
            ValueError: if there is no room for them.
        """
        if self._writer is None:
            raise ValueError("this pool was made without room for more")
        self._writer.append(transitions)
        end = self._count + len(transitions)
        if self._training is not None:
            self._training[self._count : end] = transitions.select(*TRAINING_KEYS).to(self._device)
        self._count = end

    def rewind(self, added: int) -> None:
        """Keep the first ``added`` of the transitions added so far, and drop the rest."""
        if self._writer is None:
            return
        self._writer.rewind(added)
        self._ends = self._ends[:0]
        self._count = len(self._dataset) + added
        if self._training is not None:
            kept = self._writer.written().select(*TRAINING_KEYS)
            self._training[len(self._dataset) : self._count] = kept.to(self._device)

    def read(self, rows: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Some transitions with all their keys, in the order asked for."""
        return self._gathered(rows, list(self._dataset[0].keys(include_nested=True, leaves_only=True)))


def fits(dataset: Dataset, room: int, device: torch.device) -> bool:
    """Whether the data, and ``room`` transitions more, should be copied to ``device`` for training."""
    row = dataset.read_keys(torch.zeros(1, dtype=torch.int64), TRAINING_KEYS)
    needed = (len(dataset) + room) * sum(value.numel() * value.element_size() for value in row.values(True, True))
    if device.type == "cuda":
        return needed <= PART_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]
    return needed <= LARGEST_COPY


def episode_ends(transitions: TensorDictBase) -> Tensor:  # batch (N,) -> (m,) int64, increasing
    """Last transition of each episode: one that is terminal, or whose next observation does not open the next."""
    following = transitions["next", "observation"]
    goes_on = (following[:-1] == transitions["observation"][1:]).all(-1)
    terminated = one_per_row(transitions["next", "terminated"], len(transitions), "terminated").bool()
    goes_on &= ~terminated[:-1]
    last = torch.full((1,), len(transitions) - 1, device=goes_on.device)
    return torch.cat([(~goes_on).nonzero().squeeze(-1), last])


def later_rows(
    rows: Tensor,  # (n,) int64
    steps: Tensor,  # (n,) int64, not negative
    ends: Tensor,  # (m,) int64, as episode_ends gives them
) -> Tensor:  # (n,) int64
    """Transitions so many steps after the given ones, or the last of the episode if it ends before."""
    return torch.minimum(rows + steps, ends[torch.searchsorted(ends, rows)])
