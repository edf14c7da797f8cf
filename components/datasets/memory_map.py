"""Transitions gathered by the collect job."""

from __future__ import annotations

from pathlib import Path

import torch
from tensordict import TensorDict

from bfmkit.interfaces import Dataset
from bfmkit.registry import register
from bfmkit.shards import read_shard, read_spec, shard_names


@register(Dataset, "memory_map")
class MemoryMapDataset(Dataset):
    """A folder of shards written by ``bfmkit run collect_...``; nothing is read before it is asked for.

    Args:
        path: the dataset's folder, or the run directory that holds it as ``dataset/``.

    Raises:
        FileNotFoundError: if there is no dataset in ``path``.
        ValueError: if it is damaged, or empty.
    """

    def __init__(self, path: Path) -> None:
        root = path / "dataset" if (path / "dataset").is_dir() else path
        self.spec = read_spec(root)
        self._shards = [read_shard(root, name) for name in shard_names(root)]
        self._starts = torch.tensor([0, *(len(shard) for shard in self._shards)]).cumsum(0)
        if len(self) == 0:
            raise ValueError(f"the dataset {root} holds no transitions yet")

    def __len__(self) -> int:
        """The number of transitions in all shards."""
        return int(self._starts[-1])

    def read(self, indices: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Transitions by index, in the order asked for.

        Raises:
            IndexError: for an index outside the dataset.
        """
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= len(self)):
            raise IndexError(f"indices must lie in [0, {len(self)}), got {int(indices.min())} to {int(indices.max())}")
        shard_of = torch.searchsorted(self._starts, indices, right=True) - 1
        order, pieces = [], []
        for number, shard in enumerate(self._shards):
            positions = (shard_of == number).nonzero().squeeze(-1)
            order.append(positions)
            pieces.append(shard[indices[positions] - self._starts[number]])
        joined = torch.cat(pieces)
        return joined[torch.cat(order).argsort()]

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:  # batch (N,)
        """The named keys of all transitions, copied to ``device``."""
        return torch.cat([shard.select(*keys).to(device).contiguous() for shard in self._shards])
