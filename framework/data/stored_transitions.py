"""Folders of shards as one sequence of transitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tensordict import NestedKey, TensorDict
from torch import Tensor

from bfmkit.data.shards import read_shard, read_spec, shard_names
from bfmkit.interfaces import EnvironmentSpec

COPIED_AT_ONCE = 100_000


class StoredTransitions:
    """Transitions of folders of shards in sequence, memory-mapped.

    Args:
        folders: datasets of one domain, at least one.

    Raises:
        FileNotFoundError: if there is no dataset in a folder.
        ValueError: if one is damaged, or of another domain than the first, or all are empty.
    """

    spec: EnvironmentSpec

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self.spec = read_spec(folders[0])
        for folder in folders[1:]:
            self.spec.require_compatible(read_spec(folder), f"the dataset {folder}")
        shards = [read_shard(folder, name) for folder in folders for name in shard_names(folder)]
        self._starts = torch.tensor([0, *(len(shard) for shard in shards)]).cumsum(0)
        if len(self) == 0:
            raise ValueError(f"the dataset {', '.join(map(str, folders))} holds no transitions yet")
        self._keys = list(shards[0].keys(include_nested=True, leaves_only=True))
        # Plain tensors over the same memory: indexing a TensorDict costs more than the reading.
        self._columns = {key: [shard.get(key).as_subclass(torch.Tensor) for shard in shards] for key in self._keys}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by reference to the folders, which another process maps anew."""
        return (type(self), (self._folders,))

    def __len__(self) -> int:
        """Number of transitions in all shards."""
        return int(self._starts[-1])

    def read(self, indices: Tensor, keys: Sequence[NestedKey] | None = None) -> TensorDict:  # (n,) -> batch (n,)
        """Transitions by index, in the order asked for; all keys, or those named.

        Raises:
            IndexError: for an index outside the dataset.
        """
        if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= len(self)):
            raise IndexError(f"indices must lie in [0, {len(self)}), got {int(indices.min())} to {int(indices.max())}")
        wanted = self._keys if keys is None else list(keys)
        shard_of = torch.searchsorted(self._starts, indices, right=True) - 1
        rows = indices - self._starts[shard_of]
        pieces = [(number, (shard_of == number).nonzero().squeeze(-1)) for number in shard_of.unique().tolist()]
        read = TensorDict({}, [len(indices)])
        for key in wanted:
            columns = self._columns[key]
            if len(pieces) == 1:
                read[key] = columns[pieces[0][0]][rows]
                continue
            value = torch.empty((len(indices), *columns[0].shape[1:]), dtype=columns[0].dtype)
            for number, positions in pieces:
                value[positions] = columns[number][rows[positions]]
            read[key] = value
        return read

    def to_device(self, device: torch.device | str, keys: Sequence[NestedKey]) -> TensorDict:  # batch (N,)
        """Named keys of all transitions, copied to ``device`` piece by piece: they are never twice in memory."""
        copied = TensorDict({}, [len(self)], device=device)
        for key in keys:
            columns = self._columns[key]
            value = torch.empty((len(self), *columns[0].shape[1:]), dtype=columns[0].dtype, device=device)
            pieces = [piece for column in columns for piece in column.split(COPIED_AT_ONCE)]
            first = 0
            for piece in pieces:
                value[first : first + len(piece)].copy_(piece)
                first += len(piece)
            copied[key] = value
        return copied
