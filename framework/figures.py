"""Figures of runs, all in one style: readable at the width of a column, and without telling red from green."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bfmkit.run_directory import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#595959",
)  # fmt: skip

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "savefig.dpi": 200,
}

COLUMN = 3.4
"""Inches."""


def new_figure(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """An empty figure and its axes (rows, columns); touches no display and no global state of matplotlib."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        width = COLUMN if columns == 1 else 2.4 * columns
        figure = Figure(figsize=(width, 2.3 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, squeeze=False)


def save_figure(figure: Figure, path: Path, table: list[dict[str, Any]]) -> None:
    """Write the figure, and the numbers it shows in a CSV file beside it."""
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    image = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(image, format="png")
    write_atomically(path, image.getvalue())
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(path.with_suffix(".csv"), text.getvalue())


def draw_returns(
    path: Path,
    tasks: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    seeds: Mapping[str, Sequence[int]],
) -> None:
    """Return per episode, a panel a task: the mean over seeds, their range, and the oracle's mean.

    Args:
        path: of the PNG file.
        tasks: name -> returns (seeds, episodes) of the agent, and of the oracle or None.
        seeds: name -> the seed of each row, for the table.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    columns = min(4, max(1, len(tasks)))
    with rc_context(STYLE):
        figure, axes = new_figure(-(-max(1, len(tasks)) // columns), columns)
        table: list[dict[str, Any]] = []
        for axis, (task, (returns, oracle)) in zip(axes.flat, tasks.items(), strict=False):
            episodes = np.arange(1, returns.shape[1] + 1)
            if len(returns):
                if len(returns) > 1:
                    axis.fill_between(episodes, returns.min(0), returns.max(0), color=BLUE, alpha=0.2, linewidth=0)
                axis.plot(episodes, returns.mean(0), color=BLUE, marker="o", markersize=3, label="agent")
            if oracle is not None and len(oracle):
                axis.axhline(oracle.mean(), color=VERMILION, linestyle="--", label="oracle")
            axis.set_title(textwrap.fill(task, 44))  # a typed reward may be long
            axis.set_xlabel("episode")
            axis.set_ylabel("return")
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            table += _rows(task, seeds[task], returns, oracle)
        for axis in axes.flat[len(tasks) :]:
            axis.set_visible(False)
        handles, labels = next(
            (pair for pair in (axis.get_legend_handles_labels() for axis in axes.flat) if pair[0]), ([], [])
        )
        if handles:
            # Above the panels, where no curve runs.
            figure.legend(handles, labels, loc="outside upper right", ncols=2)
        save_figure(figure, path, table)


def _rows(task: str, seeds: Sequence[int], returns: np.ndarray, oracle: np.ndarray | None) -> Iterator[dict[str, Any]]:
    for row, seed in enumerate(seeds):
        for episode, value in enumerate(returns[row]):
            known = oracle is not None and episode < oracle.shape[1]
            best = float(oracle[row, episode]) if oracle is not None and known else None
            yield {"task": task, "seed": seed, "episode": episode, "return": float(value), "oracle_return": best}
