"""Base class of datasets that are converted into a memory map on first use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.data.conversion import DataError, Piece, converted
from bfmkit.data.source_record import provenance_row
from bfmkit.data.stored_dataset import StoredDataset


class ConvertedDataset(StoredDataset):
    """Base class of datasets of other libraries, converted into a memory map on first use.

    Args:
        origin: name of the data in provenance: their path, or their id.
        cache: folder of the memory map.
        skip_corrupt: whether to leave out episodes that cannot be used, instead of stopping at the first.
        checksum: of the data, if the very same are to be used.
    """

    def __init__(self, origin: Path | str, cache: Path, skip_corrupt: bool, checksum: str | None = None) -> None:
        self._origin, self._cache, self._skip_corrupt, self._checksum = origin, cache, skip_corrupt, checksum

    @abstractmethod
    def _pieces(self) -> Sequence[Piece]:
        """Episodes of the source, in order."""

    def _settings(self) -> dict[str, Any]:
        """What the numbers depend on beside the episodes."""
        return {}

    @cached_property
    def source(self) -> dict[str, Any]:
        """Origin of the memory map: ``files`` with checksums, ``skipped`` with reasons, ``checksum``."""
        source = converted(self._cache, self.spec, self._pieces(), self._skip_corrupt, self._settings())
        if self._checksum is not None and source["checksum"] != self._checksum:
            raise DataError(f"{self._origin}: the data's checksum is {source['checksum']}, not {self._checksum}")
        return source

    def provenance(self) -> list[dict[str, Any]]:
        """One row, of the source and not of the memory map."""
        return [provenance_row(self._origin, self.source)]

    def _folders(self) -> list[Path]:
        self.source  # noqa: B018  makes the memory map where there is none
        return [self._cache]


def require_finite(episode: str, name: str, values: np.ndarray, stored_as: type = np.float64) -> None:  # (n, *m)
    """Require numbers that are finite in the type that they are stored in.

    Raises:
        DataError: naming the first row that is not.
    """
    rows = values.reshape(len(values), -1)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(rows.astype(stored_as)).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        why = f"too large for {np.dtype(stored_as)}" if np.isfinite(rows[row]).all() else "not finite"
        raise DataError(f"{episode}: {name} are {why} in row {row}")
