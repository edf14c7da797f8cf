"""Dataset as a replay buffer of TorchRL, over the same files."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torchrl.data import ImmutableDatasetWriter, Storage, TensorDictReplayBuffer

from bfmkit.interfaces import Dataset


class DatasetStorage(Storage):
    """Read-only storage of TorchRL over a dataset.

    Entries follow TorchRL's convention: flags are (n, 1), and ``("next", "done")`` is there. There is no reward: it is
    relabelled from ``("next", "physics")``.

    Args:
        dataset: to read from.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(max_size=len(dataset))
        self._dataset = dataset

    def get(self, index: int | torch.Tensor | slice) -> TensorDict:
        """Transitions by index."""
        found = self._dataset[index].clone()
        following = found["next"]
        terminated, truncated = (following[name].unsqueeze(-1) for name in ("terminated", "truncated"))
        following.update({"terminated": terminated, "truncated": truncated, "done": terminated | truncated})
        return found

    def set(self, cursor: Any, data: Any, *, set_cursor: bool = True) -> None:
        """Refuse writing.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a dataset is read, not written; collect into a folder of its own with the job collect")

    def __len__(self) -> int:
        return len(self._dataset)

    def contains(self, item: Any) -> Any:
        """Whether the storage has a transition of that index."""
        return torch.as_tensor(item) < len(self)

    def dumps(self, path: Any) -> None:
        """Nothing: the data lie in files of their own."""

    def loads(self, path: Any) -> None:
        """Nothing: the data lie in files of their own."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the data lie in files of their own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the data lie in files of their own."""

    def _empty(self, zero_out: bool = True) -> None:
        raise RuntimeError("a dataset is read, not written")


def _as_it_is(batch: TensorDict) -> TensorDict:
    return batch


def replay_buffer(dataset: Dataset, batch_size: int | None = None, **options: Any) -> TensorDictReplayBuffer:
    """Replay buffer of TorchRL that samples a dataset from its files.

    Args:
        dataset: any.
        batch_size: of ``sample()``.
        options: further arguments of TorchRL's buffer, e.g. ``sampler`` or ``transform``.

    Example:
        ``replay_buffer(MemoryMapDataset("runs/collect"), batch_size=256).sample()``
    """
    return TensorDictReplayBuffer(
        storage=DatasetStorage(dataset),
        writer=ImmutableDatasetWriter(),
        collate_fn=_as_it_is,
        batch_size=batch_size,
        **options,
    )
