"""Transitions gathered by the collect job."""

from __future__ import annotations

from pathlib import Path

import torch
from tensordict import TensorDict

from bfmkit.data.stored_transitions import StoredTransitions
from bfmkit.interfaces import Dataset
from bfmkit.registry import register


@register(Dataset, "memory_map")
class MemoryMapDataset(Dataset):
    """Folders of shards as ``bfmkit run collect_...`` and practice write them; nothing is read before it is asked for.

    Args:
        path: the dataset's folder, or the run directory that holds it as ``dataset/``; of several, one after another.

    Raises:
        FileNotFoundError: if there is no dataset in a ``path``.
        ValueError: if one is damaged, or of another domain than the first, or all are empty.
    """

    def __init__(self, path: Path | list[Path]) -> None:
        given = path if isinstance(path, list) else [path]
        if not given:
            raise ValueError("path names no dataset")
        self._stored = StoredTransitions([each / "dataset" if (each / "dataset").is_dir() else each for each in given])
        self.spec = self._stored.spec

    def __len__(self) -> int:
        """The number of transitions in all folders."""
        return len(self._stored)

    def read(self, indices: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Transitions by index, in the order asked for.

        Raises:
            IndexError: for an index outside the dataset.
        """
        return self._stored.read(indices)

    def read_keys(self, indices: torch.Tensor, keys: list) -> TensorDict:  # (n,) int64 -> batch (n,)
        """The named keys of some transitions; the rest is not touched."""
        return self._stored.read(indices, keys)

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:  # batch (N,)
        """The named keys of all transitions, copied to ``device``."""
        return self._stored.to_device(device, keys)
