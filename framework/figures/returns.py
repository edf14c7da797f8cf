"""Return per episode of one run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.figures.style import BLUE, STYLE, VERMILION, new_figure, save_figure


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
