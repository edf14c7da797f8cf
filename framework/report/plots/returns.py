"""Return per episode of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.report.plots.style import ORACLE, STYLE, in_order, legend_above, look_of, panels, save_figure, title_of


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

    with rc_context(STYLE):
        figure, axes = panels(len(tasks))
        style = look_of("agent", 0)
        table: list[dict[str, Any]] = []
        for axis, task in zip(axes, in_order(tasks), strict=True):
            returns, oracle = tasks[task]
            episodes = np.arange(1, returns.shape[1] + 1)
            if len(returns):
                if len(returns) > 1:
                    band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
                    axis.fill_between(episodes, returns.min(0), returns.max(0), **band)
                axis.plot(episodes, returns.mean(0), **style)
            if oracle is not None and len(oracle):
                axis.axhline(oracle.mean(), **ORACLE)
            axis.set_title(title_of(task))
            axis.set_xlabel("episode")
            axis.set_ylabel("return")
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            table += _rows(task, seeds[task], returns, oracle)
        legend_above(figure, axes)
        save_figure(figure, path, table)


def _rows(task: str, seeds: Sequence[int], returns: np.ndarray, oracle: np.ndarray | None) -> Iterator[dict[str, Any]]:
    for row, seed in enumerate(seeds):
        for episode, value in enumerate(returns[row]):
            known = oracle is not None and episode < oracle.shape[1]
            best = float(oracle[row, episode]) if oracle is not None and known else None
            yield {"task": task, "seed": seed, "episode": episode, "return": float(value), "oracle_return": best}
