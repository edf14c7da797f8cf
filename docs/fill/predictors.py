"""What, of the things that can be measured of a model beforehand, goes with how well inference does on it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from kept import KeptRun
from sources import UNKNOWN, Comparison, Interval

from bfmkit.report.plots.style import legend_above, look, panels, save_figure, styled
from bfmkit.report.tables import Cell, pipe_table

RESAMPLES = 2000

OF_TASKS = {"R² of the task": "reward_fit", "leading share of the task": "leading_share"}
OF_VISITS = "leading share among visited states"
OF_MODELS = {
    "effective rank": "effective_rank",
    "effective dimension": "effective_dimension",
    "Bellman error": "bellman_error",
}

OUTCOMES = {"area": "relative return", "episodes": "episodes until 90 %"}
"""Attribute of a point -> what it is called."""


@dataclass(frozen=True)
class Point:
    """One task of one model."""

    model: str
    task: str
    measures: dict[str, float]
    area: float  # mean relative return of all episodes
    episodes: float  # until one had 90 % of the oracle's return, a mean over seeds; one more than there are if none had


class Predictors:
    """Tasks of several models: measures of each, and the relative return of all its episodes of inference.

    Args:
        models: name -> a run of ``inspect``, and one of inference on all tasks.
    """

    def __init__(self, models: Mapping[str, tuple[KeptRun, KeptRun]]) -> None:
        self.points = [
            point
            for name, (inspected, inferred) in models.items()
            for point in _points(name, inspected.content["measures"], inferred)
        ]

    def correlation(self, measure: str, outcome: str = "area") -> Interval | None:
        """Spearman's rank correlation of a measure with an outcome, and a bootstrap interval over models.

        None if fewer than two values are known, or all are the same.
        """
        known = [point for point in self.points if not math.isnan(point.measures[measure])]
        models, of_point = np.unique([point.model for point in known], return_inverse=True)
        values = np.array([point.measures[measure] for point in known])
        outcomes = np.array([getattr(point, outcome) for point in known])
        if len(set(values)) < 2 or len(set(outcomes)) < 2:
            return None
        drawn = np.random.default_rng(0).multinomial(len(models), np.full(len(models), 1 / len(models)), RESAMPLES)
        counts = np.vstack([np.ones(len(known), int), drawn[:, of_point]])
        value, *resampled = _rank_correlations(values, outcomes, counts)
        low, high = np.nanquantile(resampled, [0.025, 0.975])
        return Interval(float(value), float(low), float(high))

    def table(self) -> str:
        """The rank correlations of each measure that something is known of."""
        rows = []
        for name in self._known(*OF_TASKS, OF_VISITS, *OF_MODELS):
            found = [self.correlation(name, outcome) for outcome in OUTCOMES]
            rows.append([Cell(name), *(Cell(UNKNOWN if value is None else str(value)) for value in found)])
        return pipe_table(["measure", *(f"rank correlation with {words}" for words in OUTCOMES.values())], rows)

    @styled()
    def draw(self, path: Path) -> None:
        """Each outcome over each measure of a task, a mark a model."""
        measures = self._known(*OF_TASKS, OF_VISITS)
        pairs = list(product(OUTCOMES, measures))
        figure, axes = panels(len(pairs), most=len(measures))
        for axis, (outcome, measure) in zip(axes, pairs, strict=True):
            for number, name in enumerate(dict.fromkeys(point.model for point in self.points)):
                of_model = [point for point in self.points if point.model == name]
                x, y = zip(*((each.measures[measure], getattr(each, outcome)) for each in of_model), strict=True)
                axis.plot(x, y, **(look(number) | {"linestyle": "none", "label": name}))
            axis.set(xlabel=textwrap.fill(measure, 24), ylabel=OUTCOMES[outcome])
        legend_above(figure, axes)
        table = [
            {"model": point.model, "task": point.task, "relative_return": point.area, "episodes": point.episodes}
            | point.measures
            for point in self.points
        ]
        save_figure(figure, path, table)

    def _known(self, *measures: str) -> list[str]:
        return [name for name in measures if any(not math.isnan(point.measures[name]) for point in self.points)]


def _points(name: str, measures: Mapping[str, Mapping[str, float]], run: KeptRun) -> list[Point]:
    inferred = Comparison([run])
    of_recipe, of_visits = inferred.of(inferred.recipes[0]), run.content.get("leading_share_of_visits", {})
    points = []
    for task in inferred.tasks:
        relative = of_recipe.task(task).relative
        if relative is None:
            continue
        found = {title: _value(measures, f"{key}_{task}") for title, key in OF_TASKS.items()}
        found |= {title: _value(measures, key) for title, key in OF_MODELS.items()}
        shares = [share for share in of_visits.get(task, ()) if share is not None]
        found[OF_VISITS] = float(np.mean(shares)) if shares else math.nan
        reached = [len(relative) + 1 if first is None else first for first in inferred.first_reaching(task)]
        points.append(Point(name, task, found, float(np.mean(relative)), float(np.mean(reached))))
    return points


def _value(measures: Mapping[str, Mapping[str, float]], name: str) -> float:
    return float(measures[name]["value"]) if name in measures else math.nan


def _rank_correlations(
    one: np.ndarray,  # (n,)
    other: np.ndarray,  # (n,)
    counts: np.ndarray,  # (R, n), how often each point stands in a sample
) -> np.ndarray:  # (R,)
    """Spearman's of each sample, ties at their mean rank; NaN where all values are the same."""
    total = counts.sum(1, keepdims=True)

    def centred_ranks(values: np.ndarray) -> np.ndarray:  # (R, n)
        below, same = values < values[:, None], values == values[:, None]
        ranks = counts @ (below + 0.5 * same).T
        return ranks - (counts * ranks).sum(1, keepdims=True) / total

    one, other = centred_ranks(one), centred_ranks(other)
    products = [(counts * left * right).sum(1) for left, right in ((one, other), (one, one), (other, other))]
    with np.errstate(invalid="ignore"):
        return np.asarray(products[0] / np.sqrt(products[1] * products[2]))
