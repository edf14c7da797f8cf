from __future__ import annotations

import polars as pl
import pytest

from bfmkit.evaluation.comparison import compare
from bfmkit.report.tables import (
    Cell,
    Table,
    escape_latex,
    failures_table,
    improvement_table,
    results_table,
    scores_table,
    to_latex,
    to_markdown,
)

RETURNS = {"quick": [8.0, 9.0, 10.0, 10.0], "slow": [2.0, 4.0, 6.0, 7.0]}


def results(oracle: float | None = 10.0, floor: float | None = 0.0) -> pl.DataFrame:
    rows = [
        {"recipe": recipe, "task": task, "seed": seed, "episode": episode, "return": value + 0.5 * seed, "steps": 10,
         "labels": 10 * (episode + 1), "oracle_return": oracle, "floor_return": floor}
        for recipe, returns in RETURNS.items() for task in ("walk", "run") for seed in (0, 2)
        for episode, value in enumerate(returns)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"oracle_return": pl.Float64, "floor_return": pl.Float64})


def row(table: Table, recipe: str, task: str) -> dict[str, Cell]:
    found = [cells for cells in table.rows if (cells[0].text, cells[1].text) == (recipe, task)]
    assert len(found) == 1
    return dict(zip((word.replace("\u00a0", " ") for word in table.head), found[0], strict=True))


def test_numbers_are_those_worked_out_by_hand() -> None:
    table = results_table(compare(results()))
    quick = row(table, "quick", "walk")
    assert (quick["seeds"].text, quick["oracle"].text) == ("2", "10.0")
    assert quick["floor"].text == "0.0"
    assert (quick["first episode"].text, quick["later episodes"].text) == ("8.5", "10.5")
    # Later episodes: 10 and 10 with seed 0, 11 and 11 with seed 2.
    assert quick["relative return"].order == pytest.approx(1.05)
    assert quick["area"].text == "0.97"  # (37/4 + 41/4)/2 = 9.75, rounded to even
    assert (quick["episodes to 90 %"].text, quick["labels to 90 %"].text) == ("1", "10")
    slow = row(table, "slow", "walk")
    # It gets to 7 of 10 with seed 0, and to 8 with seed 2.
    assert slow["episodes to 90 %"].text == "never"
    assert slow["episodes to 90 %"].order == float("inf")
    both = row(table, "quick", "all 2 tasks")
    assert both["relative return"].order == pytest.approx(1.05)
    assert both["relative return"].text.startswith("1.05 [1.00, 1.10]")
    assert {table.rows[index][1].text for index in table.strong} == {"all 2 tasks"}


def test_without_an_oracle_what_is_relative_is_left_out() -> None:
    table = results_table(compare(results(oracle=None)))
    assert row(table, "quick", "walk")["relative return"].text == "–"
    assert not table.strong
    assert "walk has no relative return: no oracle was run." in table.caption


def test_runs_that_stopped_early_do_not_count() -> None:
    torn = results().filter(~((pl.col("recipe") == "quick") & (pl.col("seed") == 2) & (pl.col("episode") > 1)))
    assert row(results_table(compare(torn)), "quick", "walk")["seeds"].text == "1"


def test_each_pair_of_recipes_is_compared_once_the_better_first() -> None:
    table = improvement_table(compare(results()))
    assert table is not None
    assert [(cells[0].text, cells[1].text, cells[2].order) for cells in table.rows] == [("quick", "slow", 1.0)]


def test_the_best_of_each_task_is_bold() -> None:
    table = scores_table(compare(results()))
    assert table is not None and table.head == ("recipe", "walk", "run", "mean of all 2 tasks")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["quick", "1.05", "1.05", "1.05 [1.00, 1.10]"],
        ["slow", "0.70", "0.70", "0.70 [0.65, 0.75]"],
    ]
    assert [[cell.is_best for cell in row] for row in table.rows] == [[False, True, True, True], [False] * 4]
    assert "| quick | **1.05** | **1.05** | **1.05 [1.00, 1.10]** |" in to_markdown([table])
    assert "quick & \\textbf{1.05} & \\textbf{1.05} & \\textbf{1.05 [1.00, 1.10]} \\\\" in to_latex([table])
    # Nothing to compare with, or nothing to say.
    assert scores_table(compare(results().filter(pl.col("recipe") == "quick"))) is None
    assert scores_table(compare(results(oracle=None))) is None


def test_a_task_without_scores_is_named_below_the_table() -> None:
    poor = pl.when(pl.col("task") == "run").then(-1.0).otherwise(pl.col("oracle_return")).alias("oracle_return")
    table = scores_table(compare(results().with_columns(poor)))
    assert table is not None and table.head == ("recipe", "walk", "mean of 1 of 2 tasks")
    assert "run has no relative return: the oracle (-1) is not above the floor (0)." in table.caption


def test_failures_are_listed() -> None:
    schema = {"recipe": pl.String, "task": pl.String, "seed": pl.Int64, "error": pl.String}
    assert failures_table(pl.DataFrame(schema=schema)) is None
    table = failures_table(pl.DataFrame([["a", None, None, "it broke"], ["b", "walk", 3, None]], schema, orient="row"))
    assert table is not None
    assert [[cell.text for cell in cells] for cells in table.rows] == [
        ["a", "", "", "it broke"],
        ["b", "walk", "3", "no reason was given"],
    ]


def test_markdown_and_latex_hold_every_cell() -> None:
    table = Table(
        "odd", "Odd & ends.", ("name", "value"), ((Cell("a_b|c"), Cell("50 %", 50.0)), (Cell("{x}\n~"), Cell("–", 1.0)))
    )
    markdown = to_markdown([table])
    assert markdown.splitlines()[:4] == ["| name | value |", "| --- | --- |", "| a_b\\|c | 50 % |", "| {x} ~ | – |"]
    assert "Odd & ends." in markdown
    latex = to_latex([table])
    assert "\\begin{tabular}{lr}" in latex
    assert "a\\_b|c & 50 \\% \\\\" in latex
    assert "\\{x\\} \\textasciitilde{} & -- \\\\" in latex
    assert "\\caption{Odd \\& ends.}" in latex
    assert latex.count("\\begin{table}") == latex.count("\\end{table}") == 1


def test_latex_takes_any_text() -> None:
    assert escape_latex("\\^#$") == "\\textbackslash{}\\textasciicircum{}\\#\\$"
