"""Datasets: reward-free transitions on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from tensordict import TensorDict, TensorDictBase
from torch.utils.data._utils.collate import default_collate_fn_map

from bfmkit.interfaces.spec import EnvironmentSpec


def _stacked(batch: list[TensorDictBase], **_: Any) -> TensorDictBase:
    return torch.stack(batch)


# torch's way to have a DataLoader put together elements of a type that it does not know.
default_collate_fn_map.setdefault(TensorDictBase, _stacked)


class Dataset(ABC):
    """Transitions of one domain: ``observation``, ``action`` and, under ``next``, ``observation``, ``physics``,
    ``terminated``, ``truncated``. Episodes follow one another in order; ``("next", "physics")`` and the action are
    what rewards are computed from.
    """

    kind: ClassVar[str] = "dataset"
    folder: ClassVar[str] = "datasets"

    spec: EnvironmentSpec

    @abstractmethod
    def __len__(self) -> int:
        """The number of transitions."""

    @abstractmethod
    def read(self, indices: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Transitions at the given indices, all keys."""

    def __getitem__(self, index: int | slice | list | torch.Tensor) -> TensorDict:
        """One transition, without a batch dimension, or those of a slice, a list or a tensor of indices.

        Raises:
            IndexError: for an index outside the dataset.
        """
        if isinstance(index, slice):
            return self.read(torch.arange(len(self))[index])
        indices = torch.as_tensor(index)
        if indices.dtype == torch.bool:
            indices = indices.nonzero().squeeze(-1)
        # From the end, as a list counts; what is still outside is refused.
        rows = torch.where(indices < 0, indices + len(self), indices).reshape(-1)
        transitions = self.read(rows)
        return transitions[0] if indices.ndim == 0 else transitions

    def __getitems__(self, indices: list[int]) -> list[TensorDict]:
        """The transitions of a batch, read at once; what a ``DataLoader`` asks for."""
        return list(self.read(torch.tensor(indices)).unbind(0))

    def read_keys(self, indices: torch.Tensor, keys: list) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Transitions at the given indices, the named keys; override where reading less is quicker."""
        return self.read(indices).select(*keys)

    @abstractmethod
    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:  # batch (N,)
        """All transitions with the named keys, ready to be sampled on ``device``."""

    def provenance(self) -> list[dict[str, Any]]:
        """Origin of the data (paths, checksums), for run summaries and model cards.

        A row for each place that they come from: ``path``, as the recipe names it; ``checksum`` of the data, or None
        if nobody worked one out; ``episodes``, how many there were, or None; ``skipped``, how many of these were left
        out because they could not be used. No row if nothing is known; override where something is.
        """
        return []
