from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bfmkit.report.plots.coverage import draw_coverage


def test_shares_are_those_of_each_half(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "coverage.png"
    first = {"height": np.full(100, 0.25), "still": np.zeros(100)}
    second = {"height": np.linspace(0.0, 1.0, 300), "still": np.zeros(300)}
    draw_coverage(path, first, second)
    assert path.stat().st_size > 5000
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert {row["quantity"] for row in rows} == {"height"}
    early = [row for row in rows if row["half"] == "first half"]
    peak = max(early, key=lambda row: float(row["share"]))
    assert float(peak["share"]) == 1.0
    assert float(peak["from"]) <= 0.25 <= float(peak["to"])
    late = [float(row["share"]) for row in rows if row["half"] == "second half"]
    assert sum(late) == pytest.approx(1.0, abs=0.01)
    assert max(late) < 0.04


def test_nothing_is_drawn_of_what_never_changes(tmp_path: Path) -> None:
    draw_coverage(tmp_path / "coverage.png", {"still": np.zeros(3)}, {"still": np.zeros(3)})
    assert not list(tmp_path.iterdir())
