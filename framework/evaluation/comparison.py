"""From the tidy table of episodes to the numbers that compare recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from bfmkit.evaluation.relative_return import second_half
from bfmkit.evaluation.statistics import (
    COVERAGE,
    RESAMPLES,
    Estimate,
    area_under_curve,
    at_episode,
    first_to_reach,
    interquartile_mean,
    mean,
    performance_profile,
    probability_of_improvement,
)

REACHED = 0.9
"""The share of the oracle's return that counts as having found the task."""

THRESHOLDS = np.linspace(0.0, 1.2, 61)
"""Of relative return, where performance profiles are taken."""


@dataclass(frozen=True)
class Curves:
    """One recipe on one task, the seeds that came through all episodes.

    Args:
        seeds: of the rows.
        returns: of each episode.
        labels: rewards taken in by the end of each episode.
        oracle: the oracle's return in the same episode; NaN where there is none.
    """

    seeds: tuple[int, ...]
    returns: np.ndarray  # (seeds, episodes)
    labels: np.ndarray  # (seeds, episodes)
    oracle: np.ndarray  # (seeds, episodes)

    @property
    def oracle_return(self) -> float | None:
        """The oracle's mean over seeds and episodes; None without an oracle."""
        return _mean_of_known(self.oracle)

    @property
    def relative(self) -> np.ndarray | None:  # (seeds, episodes)
        """Returns divided by :attr:`oracle_return`; None where that is not positive."""
        return _share(self.returns, self.oracle_return)

    @property
    def score(self) -> np.ndarray | None:  # (seeds,)
        """Relative return: the mean of the second half of the episodes, divided by the oracle's over all seeds.

        An oracle that was given fewer episodes is measured in the second half of its own.
        Its mean over seeds is the ``relative_return`` of an inference run's ``summary.json``.
        """
        if not self.returns.size:
            return None
        return _share(second_half(self.returns).mean(axis=1), _mean_of_known(second_half(self._oracle_lived)))

    @property
    def _oracle_lived(self) -> np.ndarray:  # (seeds, as many episodes as the oracle was given)
        lived = np.flatnonzero(np.isfinite(self.oracle).any(axis=0))
        return self.oracle[:, : lived[-1] + 1 if lived.size else 0]


def curves(table: pl.DataFrame) -> dict[str, dict[str, Curves]]:
    """Recipe -> task -> its curves, in the order of the table; seeds with fewer episodes than others are left out."""
    found: dict[str, dict[str, Curves]] = {}
    for (recipe,), of_recipe in table.group_by(["recipe"], maintain_order=True):
        longest = of_recipe["episode"].max()
        for (task,), of_task in of_recipe.group_by(["task"], maintain_order=True):
            whole = of_task.filter(pl.col("episode").max().over("seed") == longest).sort("seed", "episode")
            seeds = tuple(whole["seed"].unique(maintain_order=True).to_list())
            shape = (len(seeds), -1 if seeds else 0)
            columns = (whole[name].to_numpy().astype(float).reshape(shape) for name in _COLUMNS)
            found.setdefault(str(recipe), {})[str(task)] = Curves(seeds, *columns)
    return found


_COLUMNS = ("return", "labels", "oracle_return")


def scores(of_recipe: Mapping[str, Curves], measure: Callable[[Curves], np.ndarray | None]) -> dict[str, np.ndarray]:
    """Task -> a measure of each seed, for the tasks where it means something."""
    found = {task: measure(each) for task, each in of_recipe.items() if each.seeds}
    return {task: values for task, values in found.items() if values is not None}


def relative_returns(of_recipe: Mapping[str, Curves]) -> dict[str, np.ndarray]:
    """Task -> the score of each seed (:attr:`Curves.score`)."""
    return scores(of_recipe, lambda each: each.score)


def compare(table: pl.DataFrame, resamples: int = RESAMPLES) -> dict[str, Any]:
    """What ``statistics.json`` holds.

    ``recipes.NAME`` has ``relative_return`` (the mean over tasks), ``interquartile_mean`` of the same scores,
    ``area_under_curve``, ``episodes_to_90_percent`` and ``labels_to_90_percent`` (the median over cells, None if most
    never get there, and the share that does), ``performance_profile``; the same for each of ``tasks``, with the
    oracle's return and ``return_per_episode``. ``probability_of_improvement`` has a row for each ordered pair of
    recipes. An estimate is ``{value, low, high}``. What cannot be said is None: without an oracle, or where its return
    is not positive, nothing is relative to it.
    """
    by_recipe = curves(table)
    known = {name: relative_returns(of_recipe) for name, of_recipe in by_recipe.items()}
    improvements = []
    for ours, theirs in combinations(known, 2):
        if set(known[ours]) & set(known[theirs]):
            there = asdict(probability_of_improvement(known[ours], known[theirs], resamples))
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
                "performance_profile": _profile(known[name], resamples),
                "tasks": {task: _of_task(task, each, resamples) for task, each in of_recipe.items()},
            }
            for name, of_recipe in by_recipe.items()
        },
        "probability_of_improvement": improvements,
    }


def _of_task(task: str, each: Curves, resamples: int) -> dict[str, Any]:
    return {
        "seeds": len(each.seeds),
        "oracle_return": each.oracle_return,
        "return_per_episode": each.returns.mean(axis=0).tolist() if each.seeds else [],
        **_numbers({task: each}, resamples),
    }


def _numbers(of_recipe: Mapping[str, Curves], resamples: int) -> dict[str, Any]:
    relative = relative_returns(of_recipe)
    areas = scores(of_recipe, _of_relative(area_under_curve))
    return {
        "relative_return": _estimate(mean, relative, resamples),
        "interquartile_mean": _estimate(interquartile_mean, relative, resamples),
        "area_under_curve": _estimate(mean, areas, resamples),
        "episodes_to_90_percent": _reaching(scores(of_recipe, _episodes_to)),
        "labels_to_90_percent": _reaching(scores(of_recipe, _labels_to)),
    }


def _of_relative(measure: Callable[[np.ndarray], np.ndarray]) -> Callable[[Curves], np.ndarray | None]:
    return lambda each: None if each.relative is None else measure(each.relative)


def _episodes_to(each: Curves) -> np.ndarray | None:
    return None if each.relative is None else first_to_reach(each.relative, REACHED)


def _labels_to(each: Curves) -> np.ndarray | None:
    return None if each.relative is None else at_episode(each.labels, first_to_reach(each.relative, REACHED))


def _estimate(
    statistic: Callable[[dict[str, np.ndarray], int], Estimate], given: dict[str, np.ndarray], resamples: int
) -> dict[str, Any] | None:
    return asdict(statistic(given, resamples)) if given else None


def _reaching(numbers: dict[str, np.ndarray]) -> dict[str, Any] | None:
    if not numbers:
        return None
    cells = np.concatenate(list(numbers.values()))
    # The lower of the two in the middle: between a number and never there is nothing.
    middle = float(np.sort(cells)[(len(cells) - 1) // 2])
    return {"median": middle if np.isfinite(middle) else None, "share": float(np.isfinite(cells).mean())}


def _profile(given: dict[str, np.ndarray], resamples: int) -> dict[str, Any] | None:
    if not given:
        return None
    profile = performance_profile(given, THRESHOLDS, resamples)
    return {name: None if value is None else value.tolist() for name, value in asdict(profile).items()}


def _mean_of_known(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _share(values: np.ndarray, whole: float | None) -> np.ndarray | None:
    return values / whole if whole is not None and whole > 1e-9 else None


def comparison_table(statistics: Mapping[str, Any]) -> Iterator[str]:
    """The numbers of all recipes as lines of text."""
    yield f"{'recipe':<28}{'relative return':>22}{'interquartile mean':>22}{'area':>8}{'episodes':>10}{'labels':>10}"
    for name, numbers in statistics["recipes"].items():
        area = numbers["area_under_curve"]
        yield (
            f"{name:<28}{_said(numbers['relative_return']):>22}{_said(numbers['interquartile_mean']):>22}"
            f"{'-' if area is None else format(area['value'], '.2f'):>8}"
            f"{_median(numbers['episodes_to_90_percent']):>10}{_median(numbers['labels_to_90_percent']):>10}"
        )


def _said(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:.2f}"
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _median(reached: Mapping[str, Any] | None) -> str:
    return "-" if reached is None or reached["median"] is None else f"{reached['median']:,.0f}"
