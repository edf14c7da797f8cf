"""Return per episode of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.evaluation.relative_return import TaskReturns, known_mean
from bfmkit.report.plots.style import (
    FLOOR,
    ORACLE,
    RANGE,
    in_order,
    legend_above,
    look_of,
    panels,
    save_figure,
    say_band,
    styled,
    title_of,
)


@styled()
def draw_returns(
    path: Path,
    tasks: Mapping[str, TaskReturns],
    seeds: Mapping[str, Sequence[int]],
) -> None:
    """Figure of the return by episode, a panel a task: mean and range over seeds, means of oracle and floor.

    Args:
        path: of the PNG file.
        tasks: name -> its returns, (seeds, episodes).
        seeds: name -> the seed of each row, for the table.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = panels(len(tasks))
    style = look_of("agent", 0)
    table: list[dict[str, Any]] = []
    for axis, task in zip(axes, in_order(tasks), strict=True):
        returns = tasks[task].returns
        episodes = np.arange(1, returns.shape[1] + 1)
        if len(returns):
            if len(returns) > 1:
                band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
                axis.fill_between(episodes, returns.min(0), returns.max(0), **band)
                say_band(axis, RANGE)
            axis.plot(episodes, returns.mean(0), **style)
        for reference, line in ((tasks[task].oracle, ORACLE), (tasks[task].floor, FLOOR)):
            value = known_mean(reference)
            if value is not None:
                axis.axhline(value, **line)
        axis.set_title(title_of(task))
        axis.set_xlabel("episode")
        axis.set_ylabel("return")
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        table += _rows(task, seeds[task], tasks[task])
    legend_above(figure, axes)
    save_figure(figure, path, table)


def _rows(task: str, seeds: Sequence[int], values: TaskReturns) -> Iterator[dict[str, Any]]:
    for row, seed in enumerate(seeds):
        for episode, value in enumerate(values.returns[row]):
            references = {"oracle_return": values.oracle[row, episode], "floor_return": values.floor[row, episode]}
            known = {name: float(each) if np.isfinite(each) else None for name, each in references.items()}
            yield {"task": task, "seed": seed, "episode": episode, "return": float(value), **known}
