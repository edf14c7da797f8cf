"""Tables of a report: what they say, and the same as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import polars as pl

from bfmkit.relative import complete_runs, matrix, scores, with_relative
from bfmkit.statistics import (
    Estimate,
    area_under_curve,
    at_episode,
    first_to_reach,
    interquartile_mean,
    mean,
    probability_of_improvement,
)

ALL_TASKS = "all tasks"


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Args:
        text: as people read it.
        order: what the column is sorted by; None: the text.
    """

    text: str
    order: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: a word for links.
        caption: what it shows, in a sentence or two.
        head: of each column.
        rows: as many cells as there are columns.
        strong: which rows sum others up.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = field(default_factory=frozenset)


def results_table(
    results: pl.DataFrame,  # as read_results gives it
) -> Table:
    """Every recipe on every task, and on all of them."""
    results = complete_runs(results)
    head = (
        "recipe", "task", "seeds", "oracle", "first episode", "later episodes", "relative return", "IQM",
        "area", "episodes to 90\u00a0%", "labels to 90\u00a0%",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    strong: set[int] = set()
    relative = scores(results)
    for recipe in results["recipe"].unique(maintain_order=True).to_list():
        part = results.filter(pl.col("recipe") == recipe)
        tasks = part["task"].unique(maintain_order=True).to_list()
        rows += [_task_row(part, recipe, task, relative.get(recipe, {}).get(task)) for task in tasks]
        if len(tasks) > 1 and relative.get(recipe):
            strong.add(len(rows))
            rows.append(_overall_row(part, recipe, relative[recipe]))
    caption = (
        "Returns are means over seeds; later episodes are the second half. Relative return: later episodes over the "
        "oracle's in the same half, with a 95 % bootstrap interval over seeds. IQM: interquartile mean of the same. "
        "Area: mean over all episodes, oracle = 1. The last two: median over runs of what it took until an episode "
        "reached 90 % of the oracle's mean; never, if more than half of them did not."
    )
    return Table("results", caption, head, tuple(rows), frozenset(strong))


def improvement_table(
    results: pl.DataFrame,  # as read_results gives it
) -> Table | None:
    """How likely each recipe does better than each other; None where there are not two to compare."""
    relative = scores(results)
    pairs = [
        (ours, theirs) for ours, theirs in permutations(relative, 2) if set(relative[ours]) & set(relative[theirs])
    ]
    if not pairs:
        return None
    rows = []
    for ours, theirs in pairs:
        estimate = probability_of_improvement(relative[ours], relative[theirs])
        rows.append((Cell(ours), Cell(theirs), _estimate(estimate)))
    caption = (
        "How likely a run of the first recipe does better than one of the second, on a task that both have played, "
        "with a 95 % bootstrap interval."
    )
    return Table("improvement", caption, ("recipe", "against", "probability of improvement"), tuple(rows))


def failures_table(
    failures: pl.DataFrame,  # as read_failures gives it
) -> Table | None:
    """Every cell that failed; None where none has."""
    if failures.is_empty():
        return None
    rows = tuple(
        (Cell(row["recipe"]), Cell(row["task"] or ""), _count(row["seed"]), Cell(row["error"] or "no reason was given"))
        for row in failures.iter_rows(named=True)
    )
    return Table(
        "failures", "Runs that stopped before their end; they count in no number above.", failures_head(), rows
    )


def failures_head() -> tuple[str, ...]:
    """The columns of a table of failures."""
    return ("recipe", "task", "seed", "error")


def to_markdown(tables: Sequence[Table]) -> str:
    """The tables one after another."""
    parts = []
    for table in tables:
        lines = [_pipes(table.head), _pipes(["---"] * len(table.head))]
        lines += [_pipes([cell.text for cell in row]) for row in table.rows]
        parts.append("\n".join([*lines, "", table.caption, ""]))
    return "\n".join(parts)


def to_latex(tables: Sequence[Table]) -> str:
    """The tables one after another; they need the package booktabs."""
    parts = ["% \\usepackage{booktabs}"]
    for table in tables:
        numeric = [all(_is_number(row[column]) for row in table.rows) for column in range(len(table.head))]
        lines = [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{escape_latex(table.caption)}}}",
            f"\\label{{tab:{table.name}}}",
            f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
            "\\toprule",
            _ampersands(table.head),
            "\\midrule",
            *[_ampersands([cell.text for cell in row]) for row in table.rows],
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    marks = {
        "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
        "∞": "$\\infty$", "–": "--", "\u00a0": "~", "ψ": "$\\psi$", "<": "\\textless{}", ">": "\\textgreater{}",
    } | {mark: f"\\{mark}" for mark in "&%$#_{}"}  # fmt: skip
    return "".join(marks.get(mark, mark) for mark in text)


def _task_row(results: pl.DataFrame, recipe: str, task: str, relative: np.ndarray | None) -> tuple[Cell, ...]:
    returns = matrix(results, recipe, task, "return")
    oracle = results.filter(pl.col("task") == task)["oracle_return"].drop_nulls()
    half = returns.shape[1] // 2
    row = [
        Cell(recipe),
        Cell(task),
        _count(len(returns)),
        _number(float(np.mean(oracle.to_numpy())) if len(oracle) else None, 1),
        _number(float(returns[:, 0].mean()) if returns.size else None, 1),
        _number(float(returns[:, half:].mean()) if returns.size else None, 1),
    ]
    if relative is None or not len(relative):
        return (*row, *[Cell("–", math.inf)] * 5)
    one = {task: relative}
    return (*row, _estimate(mean(one)), _estimate(interquartile_mean(one)), *_speed(results, recipe, [task]))


def _overall_row(results: pl.DataFrame, recipe: str, relative: dict[str, np.ndarray]) -> tuple[Cell, ...]:
    seeds = results["seed"].n_unique()
    empty = Cell("", math.inf)
    return (
        Cell(recipe), Cell(ALL_TASKS), _count(seeds), empty, empty, empty,
        _estimate(mean(relative)), _estimate(interquartile_mean(relative)), *_speed(results, recipe, list(relative)),
    )  # fmt: skip


def _speed(results: pl.DataFrame, recipe: str, tasks: Sequence[str]) -> tuple[Cell, Cell, Cell]:
    """Area under the curve, and the median numbers of episodes and labels to 90 % of the oracle."""
    known = with_relative(results)
    areas, episodes, labels = [], [], []
    for task in tasks:
        relative = matrix(known, recipe, task, "relative")
        if relative.size:
            first = first_to_reach(relative)
            areas.append(area_under_curve(relative).mean())
            episodes.append(first)
            labels.append(at_episode(matrix(known, recipe, task, "labels"), first))
    if not areas:
        return (Cell("–", math.inf),) * 3
    counts = [float(np.median(np.concatenate(values))) for values in (episodes, labels)]
    return (_number(float(np.mean(areas)), 2), *(_median(count) for count in counts))


def _median(value: float) -> Cell:
    return Cell(f"{value:,.1f}".removesuffix(".0"), value) if math.isfinite(value) else Cell("never", math.inf)


def _estimate(estimate: Estimate) -> Cell:
    text = f"{estimate.value:.2f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return Cell(text, estimate.value)


def _number(value: float | None, digits: int) -> Cell:
    return Cell("–", math.inf) if value is None or not math.isfinite(value) else Cell(f"{value:,.{digits}f}", value)


def _count(value: int | None) -> Cell:
    return Cell("", math.inf) if value is None else Cell(str(value), float(value))


def _is_number(cell: Cell) -> bool:
    return cell.order is not None


def _pipes(texts: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(text.split()).replace("|", "\\|") for text in texts) + " |"


def _ampersands(texts: Sequence[str]) -> str:
    return " & ".join(escape_latex(" ".join(text.split())) for text in texts) + " \\\\"
