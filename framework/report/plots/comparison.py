"""Returns of several recipes: by episode, by label, and as performance profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from bfmkit.evaluation.comparison import Curves, curves, measured
from bfmkit.evaluation.relative_return import counted, known_mean
from bfmkit.evaluation.statistics import Estimate, Sample, Scores, interquartile_mean, mean, performance_profile
from bfmkit.report.plots.style import (
    FLOOR,
    INTERVAL,
    ORACLE,
    in_order,
    legend_above,
    look_of,
    new_figure,
    panels,
    save_figure,
    say_band,
    styled,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

APART = 0.25
"""How far two points of a curve by labels lie apart at least, as a share of what its fullest episode takes in."""


@styled()
def draw_return_by_episode(
    path: Path,
    table: pl.DataFrame,  # as read_results gives it
    along: str = "episode",
) -> None:
    """Figure of the mean return by episode with an interval over seeds, a panel a task and a curve a recipe; with
    oracle and floor, a last panel of the interquartile mean of the relative return over tasks.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        table: a row an episode.
        along: what its episodes are called.
    """
    recipes = curves(table)
    relative = {name: _relative(of_recipe) for name, of_recipe in recipes.items()}
    tasks = _tasks(recipes)
    overall = len(tasks) > 1 and any(relative.values())
    figure, axes = panels(len(tasks) + overall)
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=False):
        for index, (name, of_recipe) in enumerate(recipes.items()):
            if task in of_recipe and of_recipe[task].seeds:
                episodes = [{task: Sample(column)} for column in of_recipe[task].returns.T]
                rows += _curve(axis, index, name, task, episodes, mean)
        _finish(axis, task, along, recipes)
    if overall:
        axis, title = axes[-1], _title(relative, tasks)
        for index, (name, of_tasks) in enumerate(relative.items()):
            length = min((each.returns.shape[1] for each in of_tasks.values()), default=0)
            episodes = [
                {task: _scaled(each, each.returns[:, number]) for task, each in of_tasks.items()}
                for number in range(length)
            ]
            rows += _curve(axis, index, name, title, episodes, interquartile_mean)
        _finish(axis, title, along, None)
    legend_above(figure, axes)
    save_figure(figure, path, rows)


@styled()
def draw_return_by_labels(
    path: Path,
    table: pl.DataFrame,  # as read_results gives it
) -> bool:
    """Figure of the mean return of an episode by the number of labels learnt by its end, with the panels of
    :func:`draw_return_by_episode`. Returns False, without a figure, if no recipe learns from labels.

    Where a belief has stopped to take in labels, its episodes lie above each other: they are one point, their mean.
    ``episode`` in the CSV file is the first of a point, ``episodes`` how many it stands for.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        table: a row an episode.
    """
    recipes = curves(table)
    learners = [name for name, of in recipes.items() if any(each.labels.any() for each in of.values())]
    if not learners:
        return False
    relative = {name: _relative(recipes[name]) for name in learners}
    tasks = _tasks({name: recipes[name] for name in learners})
    overall = len(tasks) > 1 and any(relative.values())
    figure, axes = panels(len(tasks) + overall)
    rows: list[Row] = []
    for axis, task in zip(axes, tasks, strict=False):
        for index, (name, of_recipe) in enumerate(recipes.items()):
            if name in learners and task in of_recipe and of_recipe[task].seeds:
                rows += _curve_by_labels(axis, index, name, task, {task: of_recipe[task]}, mean)
        _finish(axis, task, "labels", recipes)
    whole = _title(relative, tasks)
    if overall:
        for index, name in enumerate(recipes):
            if relative.get(name):
                rows += _curve_by_labels(axes[-1], index, name, whole, relative[name], interquartile_mean)
        _finish(axes[-1], whole, "labels", None)
    for axis, title in zip(axes, [*tasks, whole], strict=False):
        counts = [row["x"] for row in rows if row["task"] == title and row["x"] > 0]
        if counts and max(counts) > 30 * min(counts):
            axis.set_xscale("log")
    legend_above(figure, axes)
    save_figure(figure, path, rows)
    return True


@styled()
def draw_profiles(
    path: Path,
    scores: Mapping[str, Scores],  # recipe -> task -> its seeds
) -> None:
    """Figure of performance profiles: share of cells with a score above each threshold, a curve a recipe.

    Reference:
        Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021, section 4.
    """
    most = max(float(cells.scores.max()) for tasks in scores.values() for cells in tasks.values())
    grid = np.linspace(0.0, max(1.05, 1.05 * most), 106)
    figure, axes = new_figure(1, 1)
    axis = axes[0, 0]
    rows: list[Row] = []
    for index, (recipe, tasks) in enumerate(scores.items()):
        profile = performance_profile(tasks, grid)
        style = look_of(recipe, index) | {"marker": ""}
        axis.step(grid, profile.share, where="post", **style)
        if profile.low is not None and profile.high is not None:
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0, "step": "post"}
            axis.fill_between(grid, profile.low, profile.high, **band)
            say_band(axis, INTERVAL)
        rows += [
            {"recipe": recipe, "threshold": float(threshold), "share": float(share)}
            for threshold, share in zip(grid, profile.share, strict=True)
        ]
    axis.axvline(1.0, **(ORACLE | {"linewidth": 0.8}))
    axis.set(xlabel=RELATIVE, ylabel="share of runs above", xlim=(grid[0], grid[-1]), ylim=(-0.02, 1.02))
    legend_above(figure, [axis])
    save_figure(figure, path, rows)


RELATIVE = "relative return (floor 0, oracle 1)"


def _relative(of_recipe: Mapping[str, Curves]) -> dict[str, Curves]:
    """Curves of the tasks that have a relative return."""
    return measured(of_recipe, lambda each: None if each.missing else each)


def _scaled(each: Curves, values: np.ndarray) -> Sample:  # (S,)
    """Sample of values on the scale of relative returns if that is defined, else unscaled."""
    return each.sample(values) or Sample(values)


def _plain(_: Curves, values: np.ndarray) -> Sample:  # (S,)
    """Sample of unscaled values."""
    return Sample(values)


def _title(relative: Mapping[str, Mapping[str, Curves]], tasks: Sequence[str]) -> str:
    """Title of the panel over several tasks: how many they are."""
    return counted(len({task for of_tasks in relative.values() for task in of_tasks}), len(tasks))


def _tasks(recipes: Mapping[str, Mapping[str, Curves]]) -> list[str]:
    return in_order(task for of_recipe in recipes.values() for task in of_recipe)


def _curve(
    axis: Axes,
    index: int,
    recipe: str,
    task: str,
    episodes: Sequence[Scores],
    statistic: Callable[[Scores], Estimate],
    places: Sequence[float] | None = None,
) -> list[Row]:
    """Curve with a confidence band, in the look of its recipe.

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
    style = look_of(recipe, index)
    axis.plot(x, [estimate.value for estimate in estimates], **style)
    bands = [(place, each.low, each.high) for place, each in zip(x, estimates, strict=True) if each.low is not None]
    if bands:
        say_band(axis, INTERVAL)
        where, low, high = zip(*bands, strict=True)
        axis.fill_between(where, low, high, color=style["color"], alpha=0.15, linewidth=0)
        if len(bands) == 1:
            # A band of one point has no width.
            axis.vlines(where, low, high, color=style["color"], alpha=0.3, linewidth=3)
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


def _curve_by_labels(
    axis: Axes,
    index: int,
    recipe: str,
    task: str,
    of_tasks: Mapping[str, Curves],
    statistic: Callable[[Scores], Estimate],
) -> list[Row]:
    """Curve over labels; episodes with nearly the same number of labels form one point.

    Args:
        of_tasks: the tasks that the statistic is taken over, by returns where it is one and its title; by relative
            returns in the panel of several.
    """
    length = min(each.returns.shape[1] for each in of_tasks.values())
    counts = np.mean([each.labels[:, :length].mean(axis=0) for each in of_tasks.values()], axis=0)
    points = _stretches(counts)
    scaled: Callable[[Curves, np.ndarray], Sample] = _plain if task in of_tasks else _scaled
    means = [
        {name: scaled(each, each.returns[:, point].mean(axis=1)) for name, each in of_tasks.items()} for point in points
    ]
    rows = _curve(axis, index, recipe, task, means, statistic, [float(counts[each].mean()) for each in points])
    lengths = [{"episode": each.start, "episodes": each.stop - each.start} for each in points]
    return [row | length for row, length in zip(rows, lengths, strict=True)]


def _stretches(counts: np.ndarray) -> list[slice]:  # (episodes,), which never fall
    """Consecutive episodes whose label counts differ by less than ``APART`` from the first of them."""
    apart = APART * np.diff(counts, prepend=0.0).max()
    starts = [0]
    for episode, count in enumerate(counts):
        if count - counts[starts[-1]] >= apart > 0:
            starts.append(episode)
    return [slice(*ends) for ends in zip(starts, [*starts[1:], len(counts)], strict=True)]


def _finish(axis: Axes, task: str, along: str, recipes: Mapping[str, Mapping[str, Curves]] | None) -> None:
    """Draw the references, title and labels of a panel; without recipes, of one of relative returns."""
    from matplotlib.ticker import MaxNLocator

    lines: list[tuple[float | None, Any]] = [(1.0, ORACLE), (0.0, FLOOR)]
    if recipes is not None:
        known = [of_recipe[task] for of_recipe in recipes.values() if task in of_recipe]
        oracles, floors = ([getattr(each, name).ravel() for each in known] for name in ("oracle", "floor"))
        lines = [(known_mean(np.concatenate(values)), line) for values, line in ((oracles, ORACLE), (floors, FLOOR))]
    for value, line in lines:
        if value is not None:
            axis.axhline(value, **line)
    axis.set(title=title_of(task), xlabel=along, ylabel="return" if recipes is not None else RELATIVE)
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
