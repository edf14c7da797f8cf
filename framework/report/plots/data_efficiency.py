"""Figure of returns by number and source of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.report.plots.style import (
    FLOOR,
    GREY,
    ORACLE,
    in_order,
    legend_above,
    look,
    panels,
    save_figure,
    styled,
    title_of,
)


@styled()
def draw_data_efficiency(path: Path, tasks: Mapping[str, Any], labels: Sequence[int]) -> None:
    """Figure of the return by number of labels, a panel a task: a curve a source of labels, and the references.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        tasks: as in the job's summary.
        labels: how many.
    """
    table: list[dict[str, Any]] = []
    figure, axes = panels(len(tasks))
    for axis, task in zip(axes, in_order(tasks), strict=True):
        numbers = tasks[task]
        gatherers = [name for name in numbers["sources"] if name != "inference_set"]
        for source, entry in numbers["sources"].items():
            mean = np.array(entry["return"])
            # Nobody gathered those of the inference set, so they have no place among the others.
            style = look(gatherers.index(source)) if source in gatherers else {"color": GREY, "marker": "o"}
            errors = np.array([0.0 if error is None else error for error in entry["standard_error"]])
            axis.plot(labels, mean, **(style | {"markersize": 3, "label": source.replace("_", " ")}))
            axis.fill_between(labels, mean - errors, mean + errors, color=style["color"], alpha=0.2, linewidth=0)
            table += [
                {"task": task, "source": source, "labels": count, "return": value, "standard_error": error}
                for count, value, error in zip(labels, entry["return"], entry["standard_error"], strict=True)
            ]
        for name, line in (("oracle_return", ORACLE), ("floor_return", FLOOR)):
            axis.axhline(numbers[name], **line)
        axis.set(xscale="log", xlabel="labels", title=title_of(task))
        # The last of them always; every second where there are many.
        shown = labels[::-1][:: 1 if len(labels) < 5 else 2]
        axis.set_xticks(shown, [f"{count:,}" for count in shown])
        axis.minorticks_off()
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axis.set_ylabel("return")
    legend_above(figure, axes)
    save_figure(figure, path, table)
