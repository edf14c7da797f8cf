"""Base class of datasets in shards."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torchrl.data import TensorDictReplayBuffer

from bfmkit.data.replay_buffer import replay_buffer
from bfmkit.data.source_record import provenance_row, read_record
from bfmkit.data.stored_transitions import StoredTransitions
from bfmkit.interfaces import Dataset


class StoredDataset(Dataset):
    """Base class of datasets in folders of shards; a subclass gives the folders."""

    @abstractmethod
    def _folders(self) -> Sequence[Path]:
        """Folders of the shards."""

    @cached_property
    def _stored(self) -> StoredTransitions:
        return StoredTransitions(self._folders())

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self._stored)

    def read(self, indices: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Transitions by index, in the order asked for.

        Raises:
            IndexError: for an index outside the dataset.
        """
        return self._stored.read(indices)

    def read_keys(self, indices: torch.Tensor, keys: list) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Named keys of some transitions; nothing else is read."""
        return self._stored.read(indices, keys)

    def replay_buffer(self, batch_size: int | None = None, **options: Any) -> TensorDictReplayBuffer:
        """Replay buffer of TorchRL over the same memory map.

        Args:
            batch_size: of ``sample()``.
            options: further arguments of TorchRL's buffer, e.g. ``sampler``.
        """
        return replay_buffer(self, batch_size, **options)

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:  # batch (N,)
        """Named keys of all transitions, copied to ``device``."""
        return self._stored.to_device(device, keys)

    def provenance(self) -> list[dict[str, Any]]:
        """One row a folder; data collected here have no checksum, since nothing reads all of them."""
        return [provenance_row(folder, read_record(folder)) for folder in self._folders()]
