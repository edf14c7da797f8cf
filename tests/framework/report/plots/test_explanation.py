from __future__ import annotations

from pathlib import Path

import numpy as np

from bfmkit.report.plots.explanation import draw_explanation
from bfmkit.runs.explanation import Explanation, Part
from bfmkit.runs.record import Record

PARTS = [Part(1.9, 0.03, "x_1", 0.98), Part(0.2, 0.4, None, 0.0)]


def test_parts_and_correlations_are_drawn_with_their_numbers(tmp_path: Path) -> None:
    believed = np.linspace(-1.0, 1.0, 64)
    known = Explanation(Record({}, {}), PARTS, believed, np.full(64, 0.1), believed + 0.1, {"x_1": 1.0})
    draw_explanation(tmp_path / "x.png", known)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "x.csv").read_text().splitlines()
    assert table[:2] == ["kind,name,value,deviation", "part,1 x_1,1.9,0.03"]
    assert table[-1].startswith("quantity,x_1,1.0")


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    draw_explanation(tmp_path / "x.png", Explanation(Record({}, {}), PARTS))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1 + len(PARTS)
