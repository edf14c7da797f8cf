from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from bfmkit.evaluation.statistics import Sample
from bfmkit.report.plots.comparison import draw_profiles, draw_return_by_episode, draw_return_by_labels
from bfmkit.report.plots.style import ORACLE


def table(recipes: Sequence[str] = ("a", "b"), labels: int = 10, oracle: float | None = 2.0) -> pl.DataFrame:
    rows = [
        {"recipe": recipe, "task": task, "seed": seed, "episode": episode, "return": 1.0 + episode + seed,
         "steps": 10, "labels": labels * (episode + 1) if recipe == "a" else 0, "oracle_return": oracle,
         "floor_return": 0.0}
        for recipe in recipes for task in ("walk", "run") for seed in (0, 1) for episode in range(3)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"oracle_return": pl.Float64, "floor_return": pl.Float64})


def numbers(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\x89PNG")
    return list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))


def test_return_by_episode_has_a_curve_a_recipe_and_one_over_all_tasks(tmp_path: Path) -> None:
    draw_return_by_episode(tmp_path / "x.png", table())
    rows = numbers(tmp_path / "x.png")
    assert len(rows) == 2 * 3 * 3
    walk = [row for row in rows if row["task"] == "walk" and row["recipe"] == "a"]
    assert [float(row["value"]) for row in walk] == [1.5, 2.5, 3.5]
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in walk)
    overall = [row for row in rows if row["task"] == "all 2 tasks" and row["recipe"] == "b"]
    assert [float(row["value"]) for row in overall] == [0.75, 1.25, 1.75]


def test_without_an_oracle_nothing_is_said_over_all_tasks(tmp_path: Path) -> None:
    draw_return_by_episode(tmp_path / "x.png", table(oracle=None))
    assert {row["task"] for row in numbers(tmp_path / "x.png")} == {"walk", "run"}


def test_return_by_labels_leaves_out_who_takes_none(tmp_path: Path) -> None:
    assert draw_return_by_labels(tmp_path / "x.png", table())
    rows = numbers(tmp_path / "x.png")
    assert {row["recipe"] for row in rows} == {"a"}
    assert [float(row["x"]) for row in rows if row["task"] == "run"] == [10.0, 20.0, 30.0]
    assert not draw_return_by_labels(tmp_path / "y.png", table(["b"]))
    assert not (tmp_path / "y.png").exists()


def test_profiles_are_shares_of_cells(tmp_path: Path) -> None:
    draw_profiles(
        tmp_path / "x.png", {"a": {"walk": Sample(np.array([0.2, 0.8])), "run": Sample(np.array([1.4, 1.4]))}}
    )
    rows = numbers(tmp_path / "x.png")
    shares = {round(float(row["threshold"]), 2): float(row["share"]) for row in rows}
    assert shares[0.0] == 1.0
    assert min(shares.values()) == 0.0
    assert float(min(rows, key=lambda row: abs(float(row["threshold"]) - 0.5))["share"]) == pytest.approx(0.75)


def test_an_oracle_among_the_recipes_looks_like_the_line_of_one(tmp_path: Path, drawn: list[Figure]) -> None:
    draw_return_by_episode(tmp_path / "x.png", table(["a", "oracle"]))
    lines = [line for axis in drawn[0].axes for line in axis.get_lines() if line.get_label() == "oracle"]
    assert len(lines) == 2 * 2 + 2
    assert {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in lines} == {
        (ORACLE["color"], "None", lines[0].get_linestyle())
    }
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 1
    assert [axis.get_title() for axis in drawn[0].axes] == ["walk", "run", "all 2 tasks"]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a", "95 % interval", "floor", "oracle"]


def test_episodes_without_new_labels_are_one_point(tmp_path: Path) -> None:
    counts = pl.DataFrame({"episode": [0, 1, 2], "labels": [10, 20, 21]})
    given = table(["a"]).drop("labels").join(counts, on="episode")
    assert draw_return_by_labels(tmp_path / "x.png", given)
    rows = [row for row in numbers(tmp_path / "x.png") if row["task"] == "walk"]
    assert [(row["x"], row["value"], row["episode"], row["episodes"]) for row in rows] == [
        ("10.0", "1.5", "0", "1"), ("20.5", "3.0", "1", "2"),
    ]  # fmt: skip


def test_all_that_a_budget_buys_is_one_point_with_its_interval(tmp_path: Path, drawn: list[Figure]) -> None:
    given = table(["a"]).with_columns(pl.lit(7).alias("labels"))
    assert draw_return_by_labels(tmp_path / "x.png", given)
    assert [row["x"] for row in numbers(tmp_path / "x.png")] == ["7.0"] * 3
    assert all(axis.collections for axis in drawn[0].axes)


def test_return_by_labels_is_shown_over_all_tasks_too(tmp_path: Path) -> None:
    draw_return_by_labels(tmp_path / "x.png", table())
    overall = [row for row in numbers(tmp_path / "x.png") if row["task"] == "all 2 tasks"]
    assert [(float(row["x"]), float(row["value"])) for row in overall] == [(10, 0.75), (20, 1.25), (30, 1.75)]
    draw_return_by_labels(tmp_path / "y.png", table(oracle=None))
    assert {row["task"] for row in numbers(tmp_path / "y.png")} == {"walk", "run"}
