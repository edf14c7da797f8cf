from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from bfmkit.report.plots.training import draw_training

ROWS = [
    {"update": 0, "value": 3.0},
    {"update": 10, "oracle_return": {"walk": 5.0, "stand": 50.0}},
    {"update": 10, "health": {"feature_rank": 7.0, "implied_reward_scale": 90.0}, "bad": ["implied_reward_scale"]},
    {"update": 20, "oracle_return": {"walk": 25.0, "stand": 80.0}},
]


def test_returns_and_health_are_curves_by_update(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_training(tmp_path, ROWS, {"walk": 2.0})
    returns, health = drawn
    assert [axis.get_title() for axis in returns.axes] == ["walk", "stand"]
    assert returns.axes[0].get_lines()[0].get_xydata().tolist() == [[10.0, 5.0], [20.0, 25.0]]
    assert [text.get_text() for text in returns.legends[0].get_texts()] == ["oracle's return", "floor"]
    assert [axis.get_title() for axis in health.axes] == ["feature rank", "implied reward scale"]
    assert [text.get_text() for text in health.legends[0].get_texts()] == ["value", "bad"]
    rows = list(csv.DictReader((tmp_path / "return.csv").read_text().splitlines()))
    assert rows[3] == {"panel": "stand", "update": "20", "value": "80.0"}


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    draw_training(tmp_path, ROWS[:1], {})
    assert not list(tmp_path.iterdir())
