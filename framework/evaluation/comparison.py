"""Comparison of recipes from the table of episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import polars as pl

from bfmkit.evaluation.relative_return import DEFINITION, TaskReturns, column_means
from bfmkit.evaluation.statistics import (
    COVERAGE,
    RESAMPLES,
    Estimate,
    Sample,
    at_episode,
    first_to_reach,
    interquartile_mean,
    mean,
    performance_profile,
    probability_of_improvement,
)

REACHED = 0.9
"""The relative return that counts as having found the task."""

THRESHOLDS = np.linspace(0.0, 1.2, 61)
"""Of relative return, where performance profiles are taken."""


@dataclass(frozen=True)
class Curves(TaskReturns):
    """Returns of one recipe on one task, of the seeds that finished all episodes."""

    seeds: tuple[int, ...]  # of the rows
    labels: np.ndarray  # (S, n), rewards taken in by the end of each episode

    @property
    def score(self) -> Sample | None:  # of S seeds
        """Relative returns of the later episodes."""
        return self.sample(self.later) if self.seeds else None


def curves(table: pl.DataFrame) -> dict[str, dict[str, Curves]]:
    """Curves by recipe and task, in the order of the table, without seeds that have fewer episodes than others."""
    found: dict[str, dict[str, Curves]] = {}
    for (recipe,), of_recipe in table.group_by(["recipe"], maintain_order=True):
        longest = of_recipe["episode"].max()
        for (task,), of_task in of_recipe.group_by(["task"], maintain_order=True):
            whole = of_task.filter(pl.col("episode").max().over("seed") == longest).sort("seed", "episode")
            seeds = tuple(whole["seed"].unique(maintain_order=True).to_list())
            shape = (len(seeds), -1 if seeds else 0)
            columns = {name: whole[column].to_numpy().astype(float).reshape(shape) for name, column in _COLUMNS.items()}
            found.setdefault(str(recipe), {})[str(task)] = Curves(seeds=seeds, **columns)
    return found


_COLUMNS = {"returns": "return", "labels": "labels", "oracle": "oracle_return", "floor": "floor_return"}

_Value = TypeVar("_Value")


def measured(of_recipe: Mapping[str, Curves], measure: Callable[[Curves], _Value | None]) -> dict[str, _Value]:
    """Measure by task, for the tasks where it is defined."""
    values = {task: measure(each) for task, each in of_recipe.items() if each.seeds}
    return {task: value for task, value in values.items() if value is not None}


def relative_returns(of_recipe: Mapping[str, Curves]) -> dict[str, Sample]:
    """Relative returns of the seeds by task, for the tasks that have them."""
    return measured(of_recipe, lambda each: each.score)


def compare(table: pl.DataFrame, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Statistics of all recipes, as in ``statistics.json``.

    ``recipes.NAME`` has ``relative_return`` (the mean over tasks), ``interquartile_mean`` of the same scores,
    ``area_under_curve`` (the mean over all episodes), ``episodes_to_90_percent`` and ``labels_to_90_percent`` (the
    median over cells, None if most never get there, and the share that does), ``performance_profile``; which tasks
    these are over, in ``relative_return_tasks``, and of the others why not, in ``no_relative_return``. ``tasks`` has
    the same for each, with the returns that they are made of. ``probability_of_improvement`` has a row for each
    ordered pair of recipes, on plain returns. An estimate is ``{value, low, high}``. What cannot be said is None.
    """
    by_recipe = curves(table)
    later = {name: measured(of_recipe, lambda each: Sample(each.later)) for name, of_recipe in by_recipe.items()}
    improvements = []
    for ours, theirs in combinations(later, 2):
        if set(later[ours]) & set(later[theirs]):
            there = asdict(probability_of_improvement(later[ours], later[theirs], resamples))
            back = {name: None if value is None else 1.0 - value for name, value in there.items()}
            back["low"], back["high"] = back["high"], back["low"]
            improvements += [{"recipe": ours, "over": theirs, **there}, {"recipe": theirs, "over": ours, **back}]
    return {
        "coverage": COVERAGE,
        "resamples": resamples,
        "recipes": {
            name: _numbers(of_recipe, resamples)
            | {
                "cells": sum(len(each.seeds) for each in of_recipe.values()),
                "performance_profile": _profile(relative_returns(of_recipe), resamples),
                "tasks": {task: _of_task(task, each, resamples) for task, each in of_recipe.items()},
            }
            for name, of_recipe in by_recipe.items()
        },
        "probability_of_improvement": improvements,
    }


def _of_task(task: str, each: Curves, resamples: int) -> dict[str, Any]:
    relative = each.relative_by_episode
    return (
        each.summary()
        | {"relative_return_per_episode": None if relative is None else column_means(relative)}
        | _numbers({task: each}, resamples)
        | {"no_relative_return": each.missing}
    )


def _numbers(of_recipe: Mapping[str, Curves], resamples: int) -> dict[str, Any]:
    relative = relative_returns(of_recipe)
    areas = measured(of_recipe, lambda each: each.sample(each.returns.mean(axis=1)))
    return {
        "relative_return": _estimate(mean, relative, resamples),
        "interquartile_mean": _estimate(interquartile_mean, relative, resamples),
        "area_under_curve": _estimate(mean, areas, resamples),
        "episodes_to_90_percent": _reaching(measured(of_recipe, _episodes_to)),
        "labels_to_90_percent": _reaching(measured(of_recipe, _labels_to)),
        "relative_return_tasks": list(relative),
        "no_relative_return": {task: each.missing for task, each in of_recipe.items() if each.missing},
    }


def _episodes_to(each: Curves) -> np.ndarray | None:
    relative = each.relative_by_episode
    return None if relative is None else first_to_reach(relative, REACHED)


def _labels_to(each: Curves) -> np.ndarray | None:
    relative = each.relative_by_episode
    return None if relative is None else at_episode(each.labels, first_to_reach(relative, REACHED))


def _estimate(
    statistic: Callable[[dict[str, Sample], int], Estimate], given: dict[str, Sample], resamples: int
) -> dict[str, Any] | None:
    return asdict(statistic(given, resamples)) if given else None


def _reaching(numbers: dict[str, np.ndarray]) -> dict[str, Any] | None:
    if not numbers:
        return None
    cells = np.concatenate(list(numbers.values()))
    # The lower of the two in the middle: between a number and never there is nothing.
    middle = float(np.sort(cells)[(len(cells) - 1) // 2])
    return {"median": middle if np.isfinite(middle) else None, "share": float(np.isfinite(cells).mean())}


def _profile(given: dict[str, Sample], resamples: int) -> dict[str, Any] | None:
    if not given:
        return None
    profile = performance_profile(given, THRESHOLDS, resamples)
    return {name: None if value is None else value.tolist() for name, value in asdict(profile).items()}


def comparison_table(statistics: Mapping[str, Any]) -> Iterator[str]:
    """Table of all recipes as lines of text, with a legend."""
    recipes = statistics["recipes"]
    width = max([len("recipe"), *map(len, recipes)]) + 2
    yield (
        f"{'recipe':<{width}}{'tasks':>7}{'relative return':>22}{'interquartile mean':>22}{'area':>8}"
        f"{'episodes':>10}{'labels':>10}"
    )
    for name, numbers in recipes.items():
        area = numbers["area_under_curve"]
        tasks = f"{len(numbers['relative_return_tasks'])}/{len(numbers['tasks'])}"
        yield (
            f"{name:<{width}}{tasks:>7}{_said(numbers['relative_return']):>22}"
            f"{_said(numbers['interquartile_mean']):>22}"
            f"{'-' if area is None else format(area['value'], 'z.2f'):>8}"
            f"{_median(numbers['episodes_to_90_percent']):>10}{_median(numbers['labels_to_90_percent']):>10}"
        )
    yield f"{DEFINITION}."
    yield (
        f"tasks: those with a relative return, of all; [..]: {100 * statistics['coverage']:.0f} % bootstrap interval "
        "over seeds; area: mean over all episodes; episodes, labels: median until 0.9 was reached."
    )
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, numbers in recipes.items():
        for task, reason in numbers["no_relative_return"].items():
            reasons.setdefault((task, reason), []).append(name)
    for (task, reason), names in reasons.items():
        whose = "" if len(names) == len(recipes) else f" ({', '.join(names)})"
        yield f"{task} has no relative return{whose}: {reason}."


def _said(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:z.2f}"
    return f"{estimate['value']:z.2f} [{estimate['low']:z.2f}, {estimate['high']:z.2f}]"


def _median(reached: Mapping[str, Any] | None) -> str:
    return "-" if reached is None or reached["median"] is None else f"{reached['median']:,.0f}"
