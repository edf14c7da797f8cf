from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from bfmkit.report.plots.belief import draw_belief
from bfmkit.report.plots.style import FigureOptions, figure_options


def trace(offset: float = 0.0, tasks: tuple[str, ...] = ("walk", "run")) -> pl.DataFrame:
    rows = [
        {"task": task, "seed": seed, "steps": steps, "log_determinant": steps + seed + offset, "width": 1.0 / steps,
         "cosine": float("nan") if steps == 1 else 0.5}
        for task in tasks for seed in (0, 2) for steps in (1, 5, 10)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_curves_are_means_over_seeds_with_their_range(tmp_path: Path) -> None:
    assert draw_belief(tmp_path / "x.png", {"a": trace(), "b": trace(3.0).drop("cosine")})
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    of_a = [row for row in rows if (row["recipe"], row["task"], row["quantity"]) == ("a", "run", "log_determinant")]
    assert [(row["steps"], row["mean"], row["lowest"], row["highest"]) for row in of_a] == [
        ("1", "2.0", "1.0", "3.0"), ("5", "6.0", "5.0", "7.0"), ("10", "11.0", "10.0", "12.0"),
    ]  # fmt: skip
    cosines = [row for row in rows if row["quantity"] == "cosine"]
    assert {row["recipe"] for row in cosines} == {"a"}
    assert {row["steps"] for row in cosines} == {"5", "10"}


def test_the_size_is_what_was_asked_for(tmp_path: Path, drawn: list[Figure]) -> None:
    with figure_options(FigureOptions(width=5.0)):
        assert draw_belief(tmp_path / "x.png", {"a": trace()})
    assert drawn[0].get_figwidth() == 5.0


def test_without_a_belief_there_is_no_figure(tmp_path: Path) -> None:
    assert not draw_belief(tmp_path / "x.png", {})
    assert not draw_belief(tmp_path / "x.png", {"a": trace().select("task", "seed", "steps"), "b": pl.DataFrame()})
    assert not (tmp_path / "x.png").exists()


def test_numbers_of_the_width_are_all_written_alike(tmp_path: Path, drawn: list[Figure]) -> None:
    spread = trace().with_columns((pl.col("steps") * 20.0).alias("width"))
    draw_belief(tmp_path / "x.png", {"a": spread})
    (axis, *_) = (axis for axis in drawn[0].axes if axis.get_yscale() == "log")
    low, high = axis.get_ylim()
    shown = zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
    assert [label.get_text() for place, label in shown if low <= place <= high] == ["20", "50", "100", "200"]
