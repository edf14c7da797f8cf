"""Returns of several recipes: by episode, by label, and as performance profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bfmkit.figures.style import GREY, STYLE, legend_above, look, new_figure, panels, save_figure, title_of
from bfmkit.relative import with_relative
from bfmkit.statistics import Estimate, Scores, interquartile_mean, mean, performance_profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]


def draw_return_by_episode(
    path: Path,
    table: pl.DataFrame,  # as read_results gives it
) -> None:
    """Mean return of each episode with an interval over seeds, a panel a task and a curve a recipe; last, where there
    is an oracle, the interquartile mean over all tasks of what is relative to it.
    """
    from matplotlib import rc_context

    tasks = table["task"].unique(maintain_order=True).to_list()
    names = table["recipe"].unique(maintain_order=True).to_list()
    relative = with_relative(table)
    overall = len(tasks) > 1 and not relative.is_empty()
    with rc_context(STYLE):
        figure, axes = panels(len(tasks) + overall)
        rows: list[Row] = []
        for axis, task in zip(axes, tasks, strict=False):
            part = table.filter(pl.col("task") == task)
            rows += _curves(axis, part, {"task": task}, "return", mean, names)
            oracle = part["oracle_return"].drop_nulls()
            if len(oracle):
                axis.axhline(float(np.mean(oracle.to_numpy())), color="black", linestyle=(0, (1, 1.5)), label="oracle")
            axis.set(title=title_of(task), xlabel="episode", ylabel="return")
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        if overall:
            axis = axes[-1]
            rows += _curves(axis, relative, {"task": "all tasks"}, "relative", interquartile_mean, names)
            axis.axhline(1.0, color="black", linestyle=(0, (1, 1.5)), label="oracle")
            axis.set(title="all tasks", xlabel="episode", ylabel="return, oracle = 1")
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        legend_above(figure, axes)
        save_figure(figure, path, rows)


def draw_return_by_labels(
    path: Path,
    table: pl.DataFrame,  # as read_results gives it
) -> bool:
    """Mean return of each episode against the labels that the belief had at its end; False, and no figure, where no
    recipe takes in labels.
    """
    from matplotlib import rc_context

    learners = table.group_by("recipe", maintain_order=True).agg(pl.col("labels").max()).filter(pl.col("labels") > 0)
    names = table["recipe"].unique(maintain_order=True).to_list()
    table = table.filter(pl.col("recipe").is_in(learners["recipe"].to_list()))
    if table.is_empty():
        return False
    tasks = table["task"].unique(maintain_order=True).to_list()
    with rc_context(STYLE):
        figure, axes = panels(len(tasks))
        rows: list[Row] = []
        for axis, task in zip(axes, tasks, strict=True):
            part = table.filter(pl.col("task") == task)
            labels = part.group_by("recipe", "episode").agg(pl.col("labels").mean())
            at = {(name, episode): value for name, episode, value in labels.iter_rows()}
            rows += _curves(axis, part, {"task": task}, "return", mean, names, at)
            oracle = part["oracle_return"].drop_nulls()
            if len(oracle):
                axis.axhline(float(np.mean(oracle.to_numpy())), color="black", linestyle=(0, (1, 1.5)), label="oracle")
            counts = [value for value in at.values() if value > 0]
            if max(counts) > 30 * min(counts):
                axis.set_xscale("log")
            axis.set(title=title_of(task), xlabel="labels", ylabel="return")
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        legend_above(figure, axes)
        save_figure(figure, path, rows)
    return True


def draw_profiles(
    path: Path,
    scores: Mapping[str, Scores],  # recipe -> task -> (seeds,)
) -> None:
    """Performance profiles: the share of cells that reach each score or more, a curve a recipe.

    Reference:
        Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021, section 4.
    """
    from matplotlib import rc_context

    most = max(float(cells.max()) for tasks in scores.values() for cells in tasks.values())
    grid = np.linspace(0.0, max(1.05, 1.05 * most), 106)
    with rc_context(STYLE):
        figure, axes = new_figure(1, 1)
        axis = axes[0, 0]
        rows: list[Row] = []
        for index, (recipe, tasks) in enumerate(scores.items()):
            profile = performance_profile(tasks, grid)
            axis.step(grid, profile.share, where="post", label=recipe, **(look(index) | {"marker": ""}))
            if profile.low is not None and profile.high is not None:
                band = {"color": look(index)["color"], "alpha": 0.15, "linewidth": 0, "step": "post"}
                axis.fill_between(grid, profile.low, profile.high, **band)
            rows += [
                {"recipe": recipe, "threshold": float(threshold), "share": float(share)}
                for threshold, share in zip(grid, profile.share, strict=True)
            ]
        axis.axvline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axis.set(
            xlabel="return, oracle = 1", ylabel="share of cells above", xlim=(grid[0], grid[-1]), ylim=(-0.02, 1.02)
        )
        legend_above(figure, [axis])
        save_figure(figure, path, rows)


def _curves(
    axis: Axes,
    table: pl.DataFrame,
    head: Row,
    column: str,
    statistic: Callable[[Scores], Estimate],
    names: list[str],
    places: Mapping[tuple[str, int], float] | None = None,
) -> list[Row]:
    """A curve with a band for each recipe, which looks the same wherever it is drawn.

    Args:
        axis: to draw on.
        table: whose rows to draw.
        head: of each row of the figure's table.
        column: of ``table`` to draw.
        statistic: of the cells of an episode.
        names: of all recipes of the figure.
        places: where an episode lies, if not at its number.
    """
    from matplotlib.ticker import MaxNLocator

    rows: list[Row] = []
    for recipe in table["recipe"].unique(maintain_order=True).to_list():
        style = look(names.index(recipe))
        x, estimates = [], []
        for (episode,), part in table.filter(pl.col("recipe") == recipe).group_by("episode", maintain_order=True):
            number = int(episode)  # type: ignore[call-overload]
            x.append(number + 1.0 if places is None else places[recipe, number])
            cells = part.group_by("task", maintain_order=True).agg(pl.col(column))
            estimates.append(statistic({task: np.asarray(values) for task, values in cells.iter_rows()}))
            rows.append(
                {
                    **head,
                    "recipe": recipe,
                    "episode": number,
                    "x": x[-1],
                    "shows": column,
                    "value": estimates[-1].value,
                    "low": estimates[-1].low,
                    "high": estimates[-1].high,
                }
            )
        axis.plot(x, [estimate.value for estimate in estimates], label=recipe, **style)
        bands = [(place, each.low, each.high) for place, each in zip(x, estimates, strict=True) if each.low is not None]
        if bands:
            where, low, high = zip(*bands, strict=True)
            axis.fill_between(where, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return rows
