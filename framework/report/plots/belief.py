"""Figure of the belief along a run: information and alignment with the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bfmkit.report.plots.style import in_order, legend_above, look, new_figure, save_figure, styled, title_of

QUANTITIES = {
    "log_determinant": "log det V",
    "cosine": "cosine to the\noracle's z",
    "width": "width along ψ",
}
MOST_TASKS = 4


@styled()
def draw_belief(
    path: Path,
    traces: Mapping[str, pl.DataFrame],  # recipe -> as read_trace gives it
    names: Sequence[str] = (),
) -> bool:
    """Figure of log determinant, cosine and width by step, a column a task and a curve a recipe: means and range over
    seeds. Returns False, without a figure, if no trace holds a belief.

    Args:
        path: of the PNG file.
        traces: of each recipe.
        names: of all recipes of other figures, so that each looks the same there; none given: those of the traces.
    """
    from matplotlib.ticker import MaxNLocator

    kept = {name: trace for name, trace in traces.items() if set(QUANTITIES) & set(trace.columns)}
    shown = [name for name in QUANTITIES if any(name in trace.columns for trace in kept.values())]
    if not shown:
        return False
    order = list(dict.fromkeys([*names, *kept]))
    tasks = in_order(task for trace in kept.values() for task in trace["task"].unique(maintain_order=True))[:MOST_TASKS]
    figure, axes = new_figure(len(shown), len(tasks), panel=(2.2, 1.6))
    rows: list[dict[str, Any]] = []
    for column, task in enumerate(tasks):
        for row, quantity in enumerate(shown):
            axis = axes[row, column]
            for recipe, trace in kept.items():
                index = order.index(recipe)
                if quantity in trace.columns:
                    part = trace.filter(pl.col("task") == task)
                    rows += _curve(axis, part, quantity, {"task": task, "recipe": recipe}, index)
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            axis.tick_params(labelbottom=row == len(shown) - 1)
            if quantity == "width" and _positive(axis):
                _make_logarithmic(axis)
            if quantity == "cosine":
                axis.set_ylim(top=1.05)
        axes[0, column].set_title(title_of(task))
        axes[-1, column].set_xlabel("steps since the start")
    for row, quantity in enumerate(shown):
        axes[row, 0].set_ylabel(QUANTITIES[quantity])
    figure.align_ylabels()
    legend_above(figure, list(axes.flat))
    save_figure(figure, path, rows)
    return True


def _curve(axis: Any, trace: pl.DataFrame, quantity: str, head: dict[str, Any], index: int) -> list[dict[str, Any]]:
    finite = trace.filter(pl.col(quantity).is_finite())
    if finite.is_empty():
        return []
    steps = finite.group_by("steps").agg(
        pl.col(quantity).mean().alias("mean"),
        pl.col(quantity).min().alias("lowest"),
        pl.col(quantity).max().alias("highest"),
    )
    steps = steps.sort("steps")
    style = look(index) | {"marker": "", "linewidth": 1.1}
    x = steps["steps"].to_numpy()
    axis.plot(x, steps["mean"].to_numpy(), label=head["recipe"], **style)
    band = steps["lowest"].to_numpy(), steps["highest"].to_numpy()
    axis.fill_between(x, *band, color=style["color"], alpha=0.15, linewidth=0)
    return [{**head, "quantity": quantity, **row} for row in steps.iter_rows(named=True)]


def _make_logarithmic(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    # Decades are enough where there are several.
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    # 50 and 100; matplotlib's own writes 5 × 10¹ beside 10².
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _positive(axis: Any) -> bool:
    values = [np.asarray(line.get_ydata()) for line in axis.get_lines()]
    return bool(values) and all((each > 0).all() for each in values)
