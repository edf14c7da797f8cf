from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tensordict import TensorDict

from bfmkit.data import conversion
from bfmkit.data.conversion import DataError, Piece, converted
from bfmkit.data.shards import empty_transitions, read_shard
from bfmkit.testing.models import ball_spec

SPEC = ball_spec(dim=2)


class Source:
    """Three episodes of two steps, each of one number."""

    def __init__(self) -> None:
        self.numbers: list[float | None] = [1.0, 2.0, 3.0]
        self.mtime_ns = 10
        self.reads = 0

    def pieces(self) -> Sequence[Piece]:
        return [
            Piece(f"episode {index}", 7, 2, lambda index=index: self.read(index), self.mtime_ns) for index in range(3)
        ]

    def read(self, index: int) -> tuple[TensorDict, str]:
        self.reads += 1
        number = self.numbers[index]
        if number is None:
            raise DataError(f"episode {index}: damaged")
        rows = empty_transitions(SPEC, 2)
        rows["observation"] += number
        return rows, f"checksum of {number}"


def firsts(folder: Path) -> list[float]:
    return read_shard(folder, "shard-000")["observation"][::2, 0].tolist()


def test_episodes_changed_at_the_same_size_are_converted_again(tmp_path: Path) -> None:
    source, folder = Source(), tmp_path / "map"
    before = converted(folder, SPEC, source.pieces())
    assert before["files"][0]["mtime_ns"] == 10
    source.numbers[1], source.mtime_ns = 5.0, 11
    after = converted(folder, SPEC, source.pieces())
    assert firsts(folder) == [1, 5, 3]
    assert after["checksum"] != before["checksum"]


@pytest.mark.parametrize("recorded", ["at another time", "without a time"])
def test_a_copy_is_compared_once_and_not_converted_again(tmp_path: Path, recorded: str) -> None:
    source, folder = Source(), tmp_path / "map"
    source.numbers[2] = None
    converted(folder, SPEC, source.pieces(), skip_corrupt=True)
    if recorded == "without a time":
        record = json.loads((folder / "source.json").read_text())
        for row in [*record["files"], *record["skipped"]]:
            del row["mtime_ns"]
        (folder / "source.json").write_text(json.dumps(record))
    inode = folder.stat().st_ino
    source.mtime_ns, source.reads = 12, 0
    for _ in range(2):
        converted(folder, SPEC, source.pieces(), skip_corrupt=True)
    assert source.reads == 3
    assert folder.stat().st_ino == inode


def test_a_copy_that_cannot_be_written_is_compared_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    source, folder = Source(), tmp_path / "map"
    converted(folder, SPEC, source.pieces())
    monkeypatch.setattr(conversion, "write_atomically", refuse)
    source.mtime_ns, source.reads = 12, 0
    for _ in range(2):
        assert converted(folder, SPEC, source.pieces())["transitions"] == 6
    assert source.reads == 6


def test_a_folder_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "my_other_work"
    folder.mkdir()
    assert converted(folder, SPEC, Source().pieces())["transitions"] == 6  # an empty one is taken
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("words")
    with pytest.raises(DataError, match="thesis: holds something else.*cache: names another place"):
        converted(other, SPEC, Source().pieces())
    assert (other / "chapter.txt").read_text() == "words"


def test_other_settings_are_another_conversion(tmp_path: Path) -> None:
    source, folder = Source(), tmp_path / "map"
    converted(folder, SPEC, source.pieces(), settings={"bounds": [-1.0, 1.0]})
    source.reads = 0
    assert converted(folder, SPEC, source.pieces(), settings={"bounds": [-1.0, 1.0]})["settings"]
    assert source.reads == 0
    converted(folder, SPEC, source.pieces(), settings={"bounds": [-0.5, 0.5]})
    assert source.reads == 3


def test_where_nobody_knows_when_it_changed_two_episodes_are_compared(tmp_path: Path) -> None:
    source, folder = Source(), tmp_path / "map"
    source.mtime_ns = 0
    converted(folder, SPEC, source.pieces())
    source.reads = 0
    converted(folder, SPEC, source.pieces())
    assert source.reads == 2
    source.numbers = [4.0, 5.0, 6.0]
    converted(folder, SPEC, source.pieces())
    assert firsts(folder) == [4, 5, 6]


def test_an_episode_that_was_mended_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, folder = Source(), tmp_path / "map"
    source.numbers[0] = None
    converted(folder, SPEC, source.pieces(), skip_corrupt=True)
    assert "1 of 3 episodes skipped (episode 0)" in capsys.readouterr().err
    source.numbers[0], source.mtime_ns = 1.0, 11
    converted(folder, SPEC, source.pieces(), skip_corrupt=True)
    assert firsts(folder) == [1, 2, 3]
    assert "episodes skipped" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("needed", "free", "said"),
    [
        (4_321, 4_320, "takes 0.01 MB, and 0.00 MB are free"),
        (812_345_678, 800_000_000, "takes 812.35 MB, and 800.00 MB are free"),
        (2_500_000_000, 999_999_999, "takes 2.50 GB, and 0.99 GB are free"),
    ],
)
def test_room_is_told_in_a_unit_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: int, free: int, said: str
) -> None:
    monkeypatch.setattr(conversion, "bytes_needed", lambda *_: needed)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    with pytest.raises(DataError) as caught:
        converted(tmp_path / "map", SPEC, Source().pieces())
    assert said in str(caught.value)
