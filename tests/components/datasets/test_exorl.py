from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.datasets.exorl import ExorlDataset
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.conversion import DataError, bytes_needed
from bfmkit.testing.dataset import DatasetContract

BODY = DMControlEnvironment("walker", "stand", episode_steps=4)
STEPS = {0: 4, 1: 4, 10: 3, 2: 4}


def arrays(index: int, steps: int) -> dict[str, np.ndarray]:
    """An episode as ExORL stores it; number k of row t of episode i is 1000·i + t + k/100 everywhere."""
    sizes = {"observation": 24, "action": 6, "physics": 18}
    rows = 1000 * index + np.arange(steps + 1)[:, None]
    content = {
        name: (rows + np.arange(size) / 100).astype(np.float64 if name == "physics" else np.float32)
        for name, size in sizes.items()
    }
    content["action"] = content["action"] / 1e5
    content["action"][0] = 0
    return content | {
        "reward": np.zeros((steps + 1, 1), np.float32),
        "discount": np.ones((steps + 1, 1), np.float32),
    }


def write(folder: Path) -> Path:
    """Walker data by RND, with episodes made in another order than they are numbered."""
    buffer = folder / "walker" / "rnd" / "buffer"
    buffer.mkdir(parents=True)
    for index, steps in STEPS.items():
        np.savez_compressed(buffer / f"episode_{index:06d}_{steps}.npz", **arrays(index, steps))
    return buffer.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def spoil(folder: Path, index: int, **changes: object) -> Path:
    """Write an episode again with other arrays; None leaves one out."""
    content = arrays(index, STEPS[index]) | changes
    path = folder / "buffer" / f"episode_{index:06d}_{STEPS[index]}.npz"
    np.savez_compressed(path, **{name: value for name, value in content.items() if value is not None})
    return path


class TestExorlDataset(DatasetContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> ExorlDataset:
        return ExorlDataset(self.folder, BODY)

    def test_an_action_belongs_to_the_observation_before_it(self) -> None:
        rows = self.make().read(torch.arange(4))
        stored = arrays(0, 4)
        np.testing.assert_array_equal(rows["observation"], stored["observation"][:-1])
        np.testing.assert_array_equal(rows["action"], stored["action"][1:])
        np.testing.assert_array_equal(rows["next", "observation"], stored["observation"][1:])
        np.testing.assert_array_equal(rows["next", "physics"], stored["physics"][1:])
        assert rows["next", "physics"].dtype == torch.float64
        assert rows["next", "truncated"].tolist() == [False, False, False, True]
        assert not rows["next", "terminated"].any()

    def test_episodes_come_by_their_number(self) -> None:
        dataset = self.make()
        firsts = dataset.read(torch.tensor([0, 4, 8, 12]))["observation"][:, 0]
        assert firsts.tolist() == [0, 1000, 2000, 10_000]
        assert len(dataset) == 15
        assert len(ExorlDataset(self.folder, BODY, episodes=2)) == 8

    def test_is_converted_once_and_again_when_the_files_change(self, capsys: pytest.CaptureFixture[str]) -> None:
        first = self.make()
        assert len(first) == 15
        assert "convert" in capsys.readouterr().err
        again = self.make()
        assert len(again) == 15
        assert "convert" not in capsys.readouterr().err
        assert again.source == first.source
        assert len(first.source["files"][0]["sha256"]) == 64
        (self.folder / "buffer" / "episode_000010_3.npz").unlink()
        assert len(self.make()) == 12

    def test_files_of_the_same_size_that_say_something_else_are_converted_again(self) -> None:
        assert len(self.make()) == 15
        path = self.folder / "buffer" / "episode_000001_4.npz"
        size = path.stat().st_size
        discount = np.ones((5, 1), np.float32)
        discount[4] = 2  # the same to whoever trains, and to the size of the file
        spoil(self.folder, 1, discount=discount, reward=None)
        content = path.read_bytes()
        assert len(content) < size
        other = self.make()
        assert len(other) == 15
        first = other.source["checksum"]
        spoil(self.folder, 1, discount=3 * discount / 2, reward=None)
        assert (path.stat().st_size, path.read_bytes() == content) == (len(content), False)
        assert self.make().source["checksum"] != first

    def test_takes_the_buffer_too_and_another_place_for_the_memory_map(self, tmp_path: Path) -> None:
        assert len(ExorlDataset(self.folder / "buffer", BODY)) == 15
        assert (self.folder / "memory_map" / "source.json").is_file()
        assert len(ExorlDataset(self.folder, BODY, cache=tmp_path / "elsewhere")) == 15
        assert (tmp_path / "elsewhere" / "spec.json").is_file()

    def test_a_discount_of_zero_is_an_end(self) -> None:
        discount = np.ones((5, 1), np.float32)
        discount[4] = 0
        spoil(self.folder, 1, discount=discount)
        following = self.make().read(torch.arange(4, 8))["next"]
        assert following["terminated"].tolist() == [False, False, False, True]
        assert not following["truncated"].any()

    def test_a_checksum_tells_other_data(self) -> None:
        checksum = self.make().source["checksum"]
        assert len(ExorlDataset(self.folder, BODY, checksum=checksum)) == 15
        spoil(self.folder, 1, action=np.ones((5, 6), np.float32))
        shutil.rmtree(self.folder / "memory_map")
        with pytest.raises(DataError, match=f"checksum is .*, not {checksum}"):
            len(ExorlDataset(self.folder, BODY, checksum=checksum))


def with_nan(index: int, name: str, row: int) -> np.ndarray:
    value = arrays(index, STEPS[index])[name]
    value[row, -1] = np.nan
    return value


DAMAGES = {
    "truncated file": (None, "truncated or damaged"),
    "no zip at all": (None, "truncated or damaged"),
    "missing key": ({"physics": None}, "no physics"),
    "too few rows": ({"observation": arrays(2, 3)["observation"]}, "observation has 4 rows; 4 steps take 5"),
    "another domain": ({"observation": np.zeros((5, 17), np.float32)}, "17 numbers a row, and walker has 24"),
    "wrong shape": ({"action": np.zeros(5, np.float32)}, "action has 1 numbers a row"),
    "a scalar": ({"discount": np.float32(1)}, "discount holds no numbers"),
    "text": ({"action": np.full((5, 6), "x")}, "action holds no numbers"),
    "pickled objects": ({"action": np.full((5, 6), None)}, "damaged"),
    "nan in the middle": ({"physics": with_nan(2, "physics", 2)}, "physics is not finite in row 2"),
    "nan in the first observation": ({"observation": with_nan(2, "observation", 0)}, "not finite in row 0"),
    "a number that float32 does not hold": (
        {"observation": arrays(2, 4)["observation"] + np.eye(5, 24)[::-1] * 1e300},
        "observation is too large for float32 in row 0",
    ),
    "complex numbers": ({"action": np.ones((5, 6), np.complex64)}, "action holds no numbers"),
    "infinite action": ({"action": np.full((5, 6), np.inf, np.float32)}, "action is not finite in row 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_named_or_skipped(folder: Path, damage: str) -> None:
    changes, message = DAMAGES[damage]
    path = spoil(folder, 2, **(changes or {}))
    if damage == "truncated file":
        path.write_bytes(path.read_bytes()[:-200])
    if damage == "no zip at all":
        path.write_bytes(b"")
    with pytest.raises(DataError, match=message) as caught:
        len(ExorlDataset(folder, BODY))
    assert str(path) in str(caught.value)
    assert "skip_corrupt" in str(caught.value)
    assert not (folder / "memory_map").exists()
    lenient = ExorlDataset(folder, BODY, skip_corrupt=True)
    assert len(lenient) == 11
    assert [row["name"] for row in lenient.source["skipped"]] == [path.name]
    # What was skipped once is no secret to whoever does not skip.
    with pytest.raises(DataError, match=message):
        len(ExorlDataset(folder, BODY))


def test_what_was_skipped_is_said_on_every_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = spoil(folder, 2, physics=None)
    for _ in range(2):
        dataset = ExorlDataset(folder, BODY, skip_corrupt=True)
        assert len(dataset) == 11
        line = f"{folder / 'memory_map'}: 1 of 4 episodes skipped ({path.name}); source.json there says why\n"
        assert line in capsys.readouterr().err
    checksum = dataset.source["checksum"]
    whence = {"path": str(folder), "checksum": checksum, "episodes": 4, "skipped": 1}
    assert dataset.provenance() == [whence]
    # So does whoever reads the memory map by itself.
    map_alone = MemoryMapDataset(folder / "memory_map")
    assert map_alone.provenance() == [{**whence, "path": str(folder / "memory_map")}]


@pytest.mark.parametrize("how", ["vanishes", "is a link to nothing"])
def test_a_file_that_is_no_longer_there_is_named_or_skipped(folder: Path, how: str) -> None:
    path = folder / "buffer" / "episode_000002_4.npz"
    strict, lenient = ExorlDataset(folder, BODY), ExorlDataset(folder, BODY, skip_corrupt=True)
    path.unlink()
    if how == "is a link to nothing":
        path.symlink_to(folder / "nowhere.npz")
        strict, lenient = ExorlDataset(folder, BODY), ExorlDataset(folder, BODY, skip_corrupt=True)
    with pytest.raises(DataError, match="cannot be read: No such file") as caught:
        len(strict)
    assert str(path) in str(caught.value)
    assert len(lenient) == 11
    assert lenient.provenance()[0]["skipped"] == 1
    made = (folder / "memory_map").stat().st_ino
    assert len(ExorlDataset(folder, BODY, skip_corrupt=True)) == 11
    # A file that is gone is not listed the next time; a link to nothing is, as it was.
    assert ((folder / "memory_map").stat().st_ino == made) == (how == "is a link to nothing")


def test_a_reset_that_nobody_recorded_does_not_matter(folder: Path) -> None:
    spoil(folder, 2, physics=with_nan(2, "physics", 0))
    assert len(ExorlDataset(folder, BODY)) == 15


def test_a_mixed_folder_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="episode of another domain"):
        len(ExorlDataset(folder, DMControlEnvironment("cheetah", "run")))


def test_nothing_usable_is_said(folder: Path) -> None:
    for index in STEPS:
        spoil(folder, index, physics=None)
    with pytest.raises(DataError, match="none of 4 episodes"):
        len(ExorlDataset(folder, BODY, skip_corrupt=True))


def test_names_that_cannot_be_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        ExorlDataset(tmp_path / "nothing", BODY)
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        ExorlDataset(folder, BODY, episodes=0)
    shutil.copy(folder / "buffer" / "episode_000001_4.npz", folder / "buffer" / "episode_01_4.npz")
    with pytest.raises(ValueError, match="episode 1 is there twice"):
        ExorlDataset(folder, BODY)
    shutil.move(folder / "buffer" / "episode_01_4.npz", folder / "buffer" / "merged.npz")
    with pytest.raises(ValueError, match=r"merged\.npz"):
        ExorlDataset(folder, BODY)


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = bytes_needed(BODY.spec, 15)
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed, 1, needed - 1))
    with pytest.raises(DataError, match=r"15 transitions takes 0\.01 MB, and 0\.00 MB are free") as caught:
        len(ExorlDataset(folder, BODY))
    assert str(folder / "memory_map") in str(caught.value)
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == ["buffer"]


def test_a_disk_that_fills_up_on_the_way_is_an_error_and_no_crash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left"):
        len(ExorlDataset(folder, BODY))
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == ["buffer"]
