from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bfmkit.report.plots.tracking import draw_tracking


def test_the_table_holds_what_is_drawn(tmp_path: Path) -> None:
    draw_tracking(tmp_path / "a.png", {"tracking": np.array([[1.0, 2.0], [3.0, 2.0]])}, 0.5)
    first, second = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert (first["seconds"], second["seconds"]) == ("0.5", "1.0")
    assert [float(first[name]) for name in ("distance", "least", "largest")] == pytest.approx([2.0, 1.0, 3.0])
