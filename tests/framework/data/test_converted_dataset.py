from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from bfmkit.data.conversion import DataError, Piece
from bfmkit.data.converted_dataset import ConvertedDataset, require_finite
from bfmkit.data.shards import empty_transitions
from bfmkit.testing.models import ball_spec


class Numbers(ConvertedDataset):
    """Three episodes of two steps, each of one number."""

    def __init__(self, cache: Path, checksum: str | None = None) -> None:
        super().__init__("numbers", cache, False, checksum)
        self.spec = ball_spec(dim=2)
        self.reads = 0

    def _pieces(self) -> list[Piece]:
        return [Piece(f"episode {index}", 7, 2, lambda index=index: self._episode(index)) for index in range(3)]

    def _episode(self, index: int) -> tuple[TensorDict, str]:
        self.reads += 1
        rows = empty_transitions(self.spec, 2)
        rows["observation"] += index
        return rows, f"checksum of {index}"


def test_the_first_use_converts_and_the_next_reads_the_memory_map(tmp_path: Path) -> None:
    first, again = Numbers(tmp_path / "map"), Numbers(tmp_path / "map")
    assert not (tmp_path / "map").exists()
    assert first.read(torch.arange(0, 6, 2))["observation"][:, 0].tolist() == [0.0, 1.0, 2.0]
    assert len(again) == 6
    assert (first.reads, again.reads) == (3, 2)  # of numbers that do not say when they changed, two are compared
    row = {"path": "numbers", "checksum": first.source["checksum"], "episodes": 3, "skipped": 0}
    assert again.provenance() == [row]


def test_other_data_than_the_checksum_are_refused_each_time(tmp_path: Path) -> None:
    checksum = Numbers(tmp_path / "map").source["checksum"]
    assert len(Numbers(tmp_path / "map", checksum)) == 6
    other = Numbers(tmp_path / "map", "another")
    for _ in range(2):
        with pytest.raises(DataError, match=f"numbers: the data's checksum is {checksum}, not another"):
            len(other)


def test_rows_are_finite_in_the_type_they_are_stored_in() -> None:
    values = np.array([[1.0, 2.0], [1e300, 0.0], [np.nan, 1.0]])
    require_finite("episode 3", "actions", values[:2])
    with pytest.raises(DataError, match="episode 3: actions are too large for float32 in row 1"):
        require_finite("episode 3", "actions", values, np.float32)
    with pytest.raises(DataError, match="episode 3: rewards are not finite in row 2"):
        require_finite("episode 3", "rewards", values)
