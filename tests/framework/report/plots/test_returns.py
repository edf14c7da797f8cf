from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bfmkit.evaluation.relative_return import TaskReturns
from bfmkit.report.plots import draw_returns


def test_draws_a_picture_with_its_numbers_beside_it(tmp_path: Path) -> None:
    returns, oracle = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]), np.full((2, 2), 5.0)
    tasks = {f"task_{index}": TaskReturns.of(returns, oracle, oracle - 5.0) for index in range(5)}
    tasks["alone"] = TaskReturns.of(returns[:1])
    seeds = {f"task_{index}": [3, 8] for index in range(5)} | {"alone": [3]}
    path = tmp_path / "figures" / "return.png"
    draw_returns(path, tasks, seeds)
    assert path.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert len(rows) == 33
    assert rows[4] == {"task": "task_0", "seed": "8", "episode": "1", "return": "3.0"} | {
        "oracle_return": "5.0",
        "floor_return": "0.0",
    }
    assert rows[5]["oracle_return"] == ""


def test_draws_what_is_left_when_nothing_came_through(tmp_path: Path) -> None:
    nothing = np.zeros((0, 3))
    draw_returns(tmp_path / "return.png", {"run": TaskReturns.of(nothing, nothing)}, {"run": []})
    assert (tmp_path / "return.png").is_file()


def test_tasks_and_legend_stand_where_they_do_elsewhere(tmp_path: Path, drawn: list[Figure]) -> None:
    pair = TaskReturns.of(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2)))
    draw_returns(tmp_path / "x.png", {"flip": pair, "stand": pair}, {"flip": [0, 1], "stand": [0, 1]})
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes] == ["stand", "flip"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["agent", "range of seeds", "floor", "oracle"]
    legend = figure.legends[0].get_window_extent()
    assert abs((legend.x0 + legend.x1) / 2 - figure.bbox.width / 2) < 1
