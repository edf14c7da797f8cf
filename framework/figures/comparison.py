"""Returns of several recipes: by episode, by label, and as performance profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bfmkit.comparison import Curves, curves, scores
from bfmkit.figures.style import GREY, STYLE, legend_above, look, new_figure, panels, save_figure, title_of
from bfmkit.statistics import Estimate, Scores, interquartile_mean, mean, performance_profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]


def draw_return_by_episode(
    path: Path,
    table: pl.DataFrame,  # as read_results gives it
    along: str = "episode",
) -> None:
    """Mean return of each episode with an interval over seeds, a panel a task and a curve a recipe; last, where there
    is an oracle, the interquartile mean over all tasks of what is relative to it.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        table: a row an episode.
        along: what its episodes are called.
    """
    from matplotlib import rc_context

    recipes = curves(table)
    relative = {name: scores(of_recipe, lambda each: each.relative) for name, of_recipe in recipes.items()}
    tasks = _tasks(recipes)
    overall = len(tasks) > 1 and any(relative.values())
    with rc_context(STYLE):
        figure, axes = panels(len(tasks) + overall)
        rows: list[Row] = []
        for axis, task in zip(axes, tasks, strict=False):
            for index, (name, of_recipe) in enumerate(recipes.items()):
                if task in of_recipe and of_recipe[task].seeds:
                    episodes = [{task: column} for column in of_recipe[task].returns.T]
                    rows += _curve(axis, index, name, task, episodes, mean)
            _finish(axis, task, along, recipes)
        if overall:
            axis = axes[-1]
            for index, (name, of_tasks) in enumerate(relative.items()):
                length = min((values.shape[1] for values in of_tasks.values()), default=0)
                episodes = [{task: values[:, number] for task, values in of_tasks.items()} for number in range(length)]
                rows += _curve(axis, index, name, "all tasks", episodes, interquartile_mean)
            _finish(axis, "all tasks", along, None)
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

    recipes = curves(table)
    learners = [name for name, of in recipes.items() if any(each.labels.any() for each in of.values())]
    if not learners:
        return False
    tasks = _tasks({name: recipes[name] for name in learners})
    with rc_context(STYLE):
        figure, axes = panels(len(tasks))
        rows: list[Row] = []
        for axis, task in zip(axes, tasks, strict=True):
            counts: list[float] = []
            for index, (name, of_recipe) in enumerate(recipes.items()):
                if name in learners and task in of_recipe and of_recipe[task].seeds:
                    episodes = [{task: column} for column in of_recipe[task].returns.T]
                    labels = of_recipe[task].labels.mean(axis=0).tolist()
                    counts += [count for count in labels if count > 0]
                    rows += _curve(axis, index, name, task, episodes, mean, labels)
            _finish(axis, task, "labels", recipes)
            if counts and max(counts) > 30 * min(counts):
                axis.set_xscale("log")
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


def _tasks(recipes: Mapping[str, Mapping[str, Curves]]) -> list[str]:
    return list(dict.fromkeys(task for of_recipe in recipes.values() for task in of_recipe))


def _curve(
    axis: Axes,
    index: int,
    recipe: str,
    task: str,
    episodes: Sequence[Scores],
    statistic: Callable[[Scores], Estimate],
    places: Sequence[float] | None = None,
) -> list[Row]:
    """A curve with a band, which looks the same wherever its recipe is drawn.

    Args:
        axis: to draw on.
        index: of the recipe among all.
        recipe: its name.
        task: the panel's.
        episodes: what to take the statistic of.
        statistic: of the cells of an episode.
        places: where the episodes lie, if not at their numbers.
    """
    estimates = [statistic(cells) for cells in episodes]
    x = list(places) if places is not None else [number + 1.0 for number in range(len(episodes))]
    style = look(index)
    axis.plot(x, [estimate.value for estimate in estimates], label=recipe, **style)
    bands = [(place, each.low, each.high) for place, each in zip(x, estimates, strict=True) if each.low is not None]
    if bands:
        where, low, high = zip(*bands, strict=True)
        axis.fill_between(where, low, high, color=style["color"], alpha=0.15, linewidth=0)
    return [
        {
            "task": task,
            "recipe": recipe,
            "episode": number,
            "x": place,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
        }
        for number, (place, estimate) in enumerate(zip(x, estimates, strict=True))
    ]


def _finish(axis: Axes, task: str, along: str, recipes: Mapping[str, Mapping[str, Curves]] | None) -> None:
    """The oracle and the words of a panel; without recipes it shows what is relative to the oracle."""
    from matplotlib.ticker import MaxNLocator

    known: list[float] = [1.0]
    if recipes is not None:
        found = [of_recipe[task].oracle_return for of_recipe in recipes.values() if task in of_recipe]
        known = [value for value in found if value is not None]
    if known:
        axis.axhline(float(np.mean(known)), color="black", linestyle=(0, (1, 1.5)), label="oracle")
    axis.set(title=title_of(task), xlabel=along, ylabel="return" if recipes is not None else "return, oracle = 1")
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
