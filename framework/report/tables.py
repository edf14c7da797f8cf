"""Tables of a report, also as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from bfmkit.evaluation.cells import reference_label
from bfmkit.evaluation.relative_return import counted
from bfmkit.report.plots.style import in_order
from bfmkit.rewards.expression import task_title


@dataclass(frozen=True)
class Cell:
    """Cell of a table."""

    text: str  # as people read it
    order: float | None = None  # what the column is sorted by; None: the text
    is_best: bool = False  # whether it is the best of its column, and set in bold


@dataclass(frozen=True)
class Table:
    """Table with name, caption, head and rows."""

    name: str  # a word for links
    caption: str  # what it shows, in a sentence or two
    head: tuple[str, ...]  # of each column
    rows: tuple[tuple[Cell, ...], ...]  # as many cells as there are columns
    strong: frozenset[int] = field(default_factory=frozenset)  # which rows sum others up


def results_table(statistics: Mapping[str, Any]) -> Table:
    """Table of every recipe on every task and over all tasks, from :func:`~bfmkit.evaluation.comparison.compare`."""
    head = (
        "recipe", "task", "seeds", "first episode", "later episodes", "oracle", "floor", "relative return", "IQM",
        "area", "episodes to 90\u00a0%", "labels to 90\u00a0%",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    strong: set[int] = set()
    for recipe, numbers in statistics["recipes"].items():
        for task, of_task in numbers["tasks"].items():
            returns = of_task["return_per_episode"]
            rows.append(
                (
                    Cell(recipe),
                    Cell(task_title(task)),
                    _number(of_task["seeds"], 0),
                    _number(returns[0] if returns else None, 1),
                    _number(of_task["later_return"], 1),
                    _number(of_task["oracle_later_return"], 1),
                    _number(of_task["floor_later_return"], 1),
                    *_relative(of_task),
                )
            )
        if len(numbers["tasks"]) > 1 and numbers["relative_return"] is not None:
            strong.add(len(rows))
            tasks = counted(len(numbers["relative_return_tasks"]), len(numbers["tasks"]))
            rows.append((Cell(recipe), Cell(tasks), *[Cell("", math.inf)] * 5, *_relative(numbers)))
    percent = f"{100 * statistics['coverage']:.0f} %"
    caption = (
        "Returns are means over seeds; later episodes are the second half, and so are the episodes of oracle and floor "
        "(the last ones of a reference that was given fewer). Relative return: (later episodes − floor) / (oracle − "
        f"floor), with a {percent} bootstrap interval over seeds of all three. IQM: interquartile mean of the same. "
        "Area: the same of all episodes. The last two: median over runs of what it took until an episode's relative "
        "return was 0.9."
    )
    caption += "".join(f" {said}" for said in _unscored(statistics))
    return Table("results", caption, head, tuple(rows), frozenset(strong))


def scores_table(statistics: Mapping[str, Any]) -> Table | None:
    """Table of relative returns, a row a recipe and a column a task, the best in bold; None with fewer than two
    recipes.
    """
    recipes = statistics["recipes"]
    tasks = in_order(task for numbers in recipes.values() for task in numbers["tasks"])
    scored = [task for task in tasks if any(_score(numbers, task) is not None for numbers in recipes.values())]
    if not scored or len(recipes) < 2:
        return None
    rows = []
    for recipe, numbers in recipes.items():
        means = _estimate(numbers["relative_return"]) if len(tasks) > 1 else None
        cells = [_number(_score(numbers, task), 2) for task in scored]
        rows.append([Cell(recipe), *cells, *([] if means is None else [means])])
    for column in range(1, len(rows[0])):
        known = [row[column].order for row in rows if math.isfinite(row[column].order or 0.0)]
        best = max((value for value in known if value is not None), default=None)
        for row in rows:
            row[column] = replace(row[column], is_best=row[column].order == best)
    percent = f"{100 * statistics['coverage']:.0f} %"
    caption = (
        "Relative return, (later episodes − floor) / (oracle − floor), mean over seeds; the best of each column in "
        f"bold; [..]: {percent} bootstrap interval." + "".join(f" {said}" for said in _unscored(statistics))
    )
    mean = [f"mean of {counted(len(scored), len(tasks))}"] if len(tasks) > 1 else []
    return Table("scores", caption, ("recipe", *map(task_title, scored), *mean), tuple(map(tuple, rows)))


def _score(numbers: Mapping[str, Any], task: str) -> float | None:
    relative = numbers["tasks"].get(task, {}).get("relative_return")
    return None if relative is None else float(relative["value"])


def improvement_table(statistics: Mapping[str, Any]) -> Table | None:
    """Table of the probability of improvement for each pair of recipes; None without a pair."""
    # Both directions of a pair come one after the other; the likelier of them is shown.
    both = statistics["probability_of_improvement"]
    pairs = [
        max(there, back, key=lambda pair: pair["value"]) for there, back in zip(both[::2], both[1::2], strict=True)
    ]
    if not pairs:
        return None
    rows = tuple((Cell(pair["recipe"]), Cell(pair["over"]), _estimate(pair)) for pair in pairs)
    caption = (
        "How likely a run of the first recipe does better than one of the second, on a task that both have played, "
        f"with a {100 * statistics['coverage']:.0f} % bootstrap interval."
    )
    return Table("improvement", caption, ("recipe", "over", "probability of improvement"), rows)


def failures_table(
    failures: pl.DataFrame,  # as read_failures gives it
) -> Table | None:
    """Table of failed cells; None without any."""
    if failures.is_empty():
        return None
    rows = tuple(
        (Cell(row["recipe"]), Cell(row["task"] or ""), _count(row["seed"]), Cell(row["error"] or "no reason was given"))
        for row in failures.iter_rows(named=True)
    )
    caption = "Runs that stopped before their end; they count in no number above."
    if failures["recipe"].str.starts_with(reference_label("")).any():
        caption += " Relative returns go by the episodes that a reference came through."
    return Table("failures", caption, failures_head(), rows)


def failures_head() -> tuple[str, ...]:
    """Column names of a table of failures."""
    return ("recipe", "task", "seed", "error")


def to_markdown(tables: Sequence[Table]) -> str:
    """Markdown of tables, one after another."""
    return "\n".join(f"{pipe_table(table.head, table.rows)}\n\n{table.caption}\n" for table in tables)


def pipe_table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Markdown of one table."""
    lines = [_pipes(head), _pipes(["---"] * len(head)), *(_pipes([_starred(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def to_latex(tables: Sequence[Table]) -> str:
    """LaTeX of tables, one after another; needs the package booktabs."""
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
            *[_row_in_latex(row) for row in table.rows],
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _starred(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.is_best else cell.text


def _row_in_latex(row: Sequence[Cell]) -> str:
    texts = [escape_latex(" ".join(cell.text.split())) for cell in row]
    marked = [f"\\textbf{{{text}}}" if cell.is_best else text for cell, text in zip(row, texts, strict=True)]
    return " & ".join(marked) + " \\\\"


def escape_latex(text: str) -> str:
    """Text escaped for LaTeX."""
    marks = {
        "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
        "−": "$-$",
        "∞": "$\\infty$", "–": "--", "\u00a0": "~", "ψ": "$\\psi$", "<": "\\textless{}", ">": "\\textgreater{}",
    } | {mark: f"\\{mark}" for mark in "&%$#_{}"}  # fmt: skip
    return "".join(marks.get(mark, mark) for mark in text)


def _unscored(statistics: Mapping[str, Any]) -> list[str]:
    """Sentences on the tasks without a relative return, and the reasons."""
    reasons = {
        task: reason
        for numbers in statistics["recipes"].values()
        for task, reason in numbers["no_relative_return"].items()
    }
    return [f"{task_title(task)} has no relative return: {reason}." for task, reason in reasons.items()]


def _relative(numbers: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Cells of the columns relative to an oracle."""
    return (
        _estimate(numbers["relative_return"]),
        _estimate(numbers["interquartile_mean"]),
        _number((numbers["area_under_curve"] or {"value": None})["value"], 2),
        _reached(numbers["episodes_to_90_percent"]),
        _reached(numbers["labels_to_90_percent"]),
    )


def _reached(numbers: Mapping[str, Any] | None) -> Cell:
    if numbers is None:
        return Cell("–", math.inf)
    if numbers["median"] is None:
        return Cell("never", math.inf)
    return Cell(f"{numbers['median']:,.0f}", numbers["median"])


def _estimate(numbers: Mapping[str, Any] | None) -> Cell:
    if numbers is None:
        return Cell("–", math.inf)
    text = f"{numbers['value']:z.2f}"
    if numbers["low"] is not None:
        text += f" [{numbers['low']:z.2f}, {numbers['high']:z.2f}]"
    return Cell(text, numbers["value"])


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
