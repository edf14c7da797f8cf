from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bfmkit.report.plots.data_efficiency import draw_data_efficiency


def numbers(*sources: str) -> dict[str, Any]:
    entry = {"return": [1.0, 3.0], "standard_error": [0.5, None]}
    return {"oracle_return": 4.0, "floor_return": 0.5, "sources": dict.fromkeys(sources, entry)}


def test_a_panel_a_task_and_one_legend(tmp_path: Path, drawn: list[Figure]) -> None:
    tasks = {task: numbers("opti_bfm", "inference_set") for task in ("flip", "stand")}
    draw_data_efficiency(tmp_path / "x.png", tasks, [10, 100])
    (figure,) = drawn
    assert [axis.get_title() for axis in figure.axes] == ["stand", "flip"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "opti bfm",
        "inference set",
        "floor",
        "oracle",
    ]
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 4
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1 + 2 * 2 * 2
