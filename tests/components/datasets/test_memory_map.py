from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.testing.dataset import DatasetContract

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))


def write(folder: Path, spec: EnvironmentSpec = SPEC, count: int = 0) -> None:
    """Two shards, one of them not full; every number in them is different, counted on from ``count``."""
    claim(folder, spec)
    for number, rows in enumerate((7, 12)):
        writer = ShardWriter(folder, f"shard-{number:03d}", spec, capacity=15)
        transitions = empty_transitions(spec, rows)
        for key in ("observation", "action", ("next", "observation"), ("next", "physics")):
            value = transitions[key]
            value.copy_(torch.arange(count, count + value.numel()).reshape(value.shape))
            count += value.numel()
        writer.append(transitions)


class TestMemoryMapDataset(DatasetContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "run" / "dataset"
        write(self.folder)

    def make(self) -> MemoryMapDataset:
        return MemoryMapDataset(self.folder)

    def test_counts_what_was_written_not_what_there_is_room_for(self) -> None:
        assert len(self.make()) == 19

    def test_takes_the_run_directory_too(self) -> None:
        assert len(MemoryMapDataset(self.folder.parent)) == 19

    def test_a_missing_dataset_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nothing_here"):
            MemoryMapDataset(tmp_path / "nothing_here")

    def test_a_damaged_shard_is_named(self) -> None:
        (self.folder / "shard-001.json").write_text("{")
        with pytest.raises(ValueError, match="shard-001"):
            self.make()

    def test_a_damaged_spec_is_named(self) -> None:
        fields = json.loads((self.folder / "spec.json").read_text())
        del fields["domain"]
        (self.folder / "spec.json").write_text(json.dumps(fields))
        with pytest.raises(ValueError, match=r"spec\.json"):
            self.make()

    def test_an_empty_dataset_is_refused(self, tmp_path: Path) -> None:
        claim(tmp_path / "empty", SPEC)
        with pytest.raises(ValueError, match="no transitions"):
            MemoryMapDataset(tmp_path / "empty")

    def test_several_folders_are_read_one_after_another(self, tmp_path: Path) -> None:
        other = tmp_path / "other"
        write(other, count=10_000)
        both = MemoryMapDataset([self.folder.parent, other])
        assert len(both) == 38
        alone = MemoryMapDataset(other)
        assert (both.read(torch.arange(19)) == self.make().read(torch.arange(19))).all()
        assert (both.read(torch.arange(19, 38)) == alone.read(torch.arange(19))).all()
        assert [row["path"] for row in both.provenance()] == [str(self.folder), str(other)]
        mixed = both.read(torch.tensor([37, 0, 19]))
        assert torch.equal(mixed["action"][0], alone.read(torch.tensor([18]))["action"][0])
        everything = both.to_device("cpu", ["observation"])["observation"]
        assert torch.equal(everything[19:], alone.to_device("cpu", ["observation"])["observation"])

    def test_a_second_folder_of_another_domain_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "cheetah", replace(SPEC, domain="cheetah"))
        with pytest.raises(ValueError, match=r"cheetah.*was made for domain cheetah"):
            MemoryMapDataset([self.folder, tmp_path / "cheetah"])

    def test_an_empty_list_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no dataset"):
            MemoryMapDataset([])

    def test_a_folder_beside_an_empty_one_is_enough(self, tmp_path: Path) -> None:
        claim(tmp_path / "empty", SPEC)
        assert len(MemoryMapDataset([tmp_path / "empty", self.folder])) == 19
