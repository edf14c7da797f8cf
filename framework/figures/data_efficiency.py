"""The picture of what labels are worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, STYLE, VERMILION, new_figure, save_figure

COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY)


def draw_data_efficiency(path: Path, tasks: Mapping[str, Any], labels: Sequence[int]) -> None:
    """Return by number of labels, a panel a task: a line for each way to come by labels, and the oracle's.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        tasks: as in the job's summary.
        labels: how many.
    """
    from matplotlib import rc_context

    columns = min(4, max(1, len(tasks)))
    table: list[dict[str, Any]] = []
    with rc_context(STYLE):
        figure, axes = new_figure(-(-max(1, len(tasks)) // columns), columns)
        for axis, (task, numbers) in zip(axes.flat, tasks.items(), strict=False):
            sources = numbers["sources"]
            colors = dict(zip((name for name in sources if name != "inference_set"), COLORS, strict=False))
            for source, entry in sources.items():
                mean = np.array(entry["return"])
                color = colors.get(source, GREY)
                errors = np.array([0.0 if error is None else error for error in entry["standard_error"]])
                axis.plot(labels, mean, color=color, marker="o", markersize=3, label=source.replace("_", " "))
                axis.fill_between(labels, mean - errors, mean + errors, color=color, alpha=0.2, linewidth=0)
                table += [
                    {"task": task, "source": source, "labels": count, "return": value, "standard_error": error}
                    for count, value, error in zip(labels, entry["return"], entry["standard_error"], strict=True)
                ]
            axis.axhline(numbers["oracle_return"], color=VERMILION, linestyle="--", label="oracle")
            axis.set(xscale="log", xlabel="labels", title=textwrap.fill(task, 44))
            # The last of them always; every second where there are many.
            shown = labels[::-1][:: 1 if len(labels) < 5 else 2]
            axis.set_xticks(shown, [f"{count:,}" for count in shown])
            axis.minorticks_off()
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axes[0, 0].set_ylabel("return")
        for axis in axes.flat[len(tasks) :]:
            axis.set_visible(False)
        handles, names = axes[0, 0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, names, loc="outside upper center", ncols=min(len(handles), 2 * columns))
        save_figure(figure, path, table)
