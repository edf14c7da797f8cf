from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.data.source_record import provenance_row, read_record, skipped_line


def record(skipped: int) -> dict:
    return {
        "files": [{"name": "good"}] * (80 - skipped),
        "skipped": [{"name": f"bad {number}"} for number in range(skipped)],
        "checksum": "abc",
    }


def test_skipped_episodes_are_counted_and_the_first_are_named() -> None:
    assert skipped_line(Path("map"), record(0)) is None
    two = "map: 2 of 80 episodes skipped (bad 0, bad 1); source.json there says why"
    assert skipped_line(Path("map"), record(2)) == two
    many = "map: 7 of 80 episodes skipped (bad 0, bad 1, bad 2, bad 3, bad 4 and 2 more); source.json there says why"
    assert skipped_line(Path("map"), record(7)) == many


def test_a_row_says_what_is_known() -> None:
    assert provenance_row("data", record(2)) == {"path": "data", "checksum": "abc", "episodes": 80, "skipped": 2}
    assert provenance_row(Path("data"), None) == {"path": "data", "checksum": None, "episodes": None, "skipped": 0}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"files": []}', '{"files": 1, "skipped": 2, "checksum": "abc"}'])
def test_no_record_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "source.json").write_text(content)
    assert read_record(tmp_path) is None
