"""Dataset in shards, as the job ``collect`` writes them."""

from __future__ import annotations

from pathlib import Path

from bfmkit.data.stored_dataset import StoredDataset
from bfmkit.interfaces import Dataset
from bfmkit.registry import register


@register(Dataset, "memory_map")
class MemoryMapDataset(StoredDataset):
    """Memory-mapped shards as ``bfmkit run collect_...`` writes them; nothing is read before it is asked for.

    Args:
        path: the dataset's folder, or the run directory that holds it as ``dataset/``; of several, one after another.

    Raises:
        FileNotFoundError: if there is no dataset in a ``path``.
        ValueError: if one is damaged, or of another domain than the first, or all are empty.

    Example:
        ``dataset: {type: memory_map, path: runs/collect_walker}``
    """

    def __init__(self, path: Path | list[Path]) -> None:
        given = path if isinstance(path, list) else [path]
        if not given:
            raise ValueError("path names no dataset")
        self._paths = [each / "dataset" if (each / "dataset").is_dir() else each for each in given]
        self.spec = self._stored.spec

    def _folders(self) -> list[Path]:
        return self._paths
