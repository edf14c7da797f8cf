from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.evaluation.cells import Cell, folder_name, read_cell, read_cells


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cells = [
        Cell(
            "opti_bfm", "walk", -3, "failed", "it fell", [{"return": 1.5, "steps": 2, "labels": 1}], 0.25, 4, "oracle"
        ),
        Cell("opti_bfm", "2 * upright", 0, lost=True),
        Cell("../..", ".", 7),
    ]
    for cell in cells:
        cell.write(tmp_path / "cells")
    assert sorted(read_cells(tmp_path / "cells"), key=lambda cell: cell.seed) == [cells[0], cells[1], cells[2]]
    assert (tmp_path / "cells" / "opti_bfm" / "walk" / "-3.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]
    assert not list(tmp_path.rglob("*.tmp"))


def test_words_that_are_no_names_of_folders_stay_apart() -> None:
    assert folder_name("opti_bfm-2") == "opti_bfm-2"
    odd = ["a b", "a  b", "a/b", "", ".", "..", "x" * 61, "x" * 62, "ü"]
    names = [folder_name(word) for word in odd]
    assert len(set(names)) == len(odd)
    assert all("/" not in name and len(name) < 80 and not name.startswith(".") for name in names)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"recipe": "a"}', '{"recipe": "a", "task"'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "0.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"0\.json: no cell"):
        read_cell(path)
