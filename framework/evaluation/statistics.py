"""Statistics of comparisons: interquartile means, bootstrap intervals over seeds, who improves on whom.

Scores are relative to an oracle, of one recipe: task -> (seeds,). The bootstrap is stratified: it draws seeds within
each task and never tasks, so intervals say what other seeds would give on the same tasks.

Reference:
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 2000
COVERAGE = 0.95

Scores = Mapping[str, np.ndarray]
"""Task -> the score of each seed."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; no interval where a task has fewer than two seeds.

    Args:
        value: over the seeds that there are.
        low: where the interval begins.
        high: where it ends.
    """

    value: float
    low: float | None = None
    high: float | None = None


def interquartile_mean(scores: Scores, resamples: int = RESAMPLES) -> Estimate:
    """The mean of the middle half of all cells, each as heavy as another, whatever its task.

    A quarter of them, rounded down, is left out at either end.
    """
    middle = _of_all(lambda cells, axis: stats.trim_mean(cells, 0.25, axis=axis))
    return _estimate(list(scores.values()), middle, resamples)


def mean(scores: Scores, resamples: int = RESAMPLES) -> Estimate:
    """The mean over tasks of the mean over seeds."""

    def of_tasks(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([task.mean(axis=axis) for task in tasks], axis=0)

    return _estimate(list(scores.values()), of_tasks, resamples)


def probability_of_improvement(ours: Scores, theirs: Scores, resamples: int = RESAMPLES) -> Estimate:
    """How likely a seed of ours has the better score than a seed of theirs, on a task drawn from those of both.

    P = mean over tasks of  1/(n m) Σ_i Σ_j (1[x_i > y_j] + ½ 1[x_i = y_j])

    Raises:
        ValueError: if they have no task in common.
    """
    tasks = [task for task in ours if task in theirs]
    if not tasks:
        raise ValueError("the two have no task in common")

    def improves(*samples: np.ndarray, axis: int) -> np.ndarray:
        # Both of a resampled shape (..., n), whatever the axis was.
        moved = [np.moveaxis(sample, axis, -1) for sample in samples]
        pairs = zip(moved[: len(tasks)], moved[len(tasks) :], strict=True)
        return np.mean([_better(x, y) for x, y in pairs], axis=0)

    return _estimate([*(ours[task] for task in tasks), *(theirs[task] for task in tasks)], improves, resamples)


@dataclass(frozen=True)
class Profile:
    """A performance profile: the share of cells with a score above each threshold.

    Args:
        thresholds: τ, of a score.
        share: of the cells above it.
        low: where the interval of each share begins; None where a task has fewer than two seeds.
        high: where it ends.
    """

    thresholds: np.ndarray  # (T,)
    share: np.ndarray  # (T,)
    low: np.ndarray | None = None  # (T,)
    high: np.ndarray | None = None  # (T,)


def performance_profile(
    scores: Scores, thresholds: Sequence[float] | np.ndarray, resamples: int = RESAMPLES
) -> Profile:
    """F(τ) = the share of all cells whose score is greater than τ, with an interval at each τ."""
    grid = np.asarray(thresholds, dtype=float)
    above = [cells > grid[:, None] for cells in scores.values()]  # (T, seeds) each
    return Profile(grid, *_stratified(above, _of_all(lambda cells, axis: cells.mean(axis=axis)), resamples))


def area_under_curve(relative: np.ndarray) -> np.ndarray:  # (seeds, episodes) -> (seeds,)
    """The mean over episodes of what is relative to the oracle: 1 for who knew the task from the start."""
    return relative.mean(axis=1)


def first_to_reach(relative: np.ndarray, share: float = 0.9) -> np.ndarray:  # (seeds, episodes) -> (seeds,)
    """The number of the first episode, counted from 1, with at least ``share`` of the oracle's return; ∞ if none."""
    reached = relative >= share
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def at_episode(values: np.ndarray, number: np.ndarray) -> np.ndarray:  # (seeds, episodes), (seeds,) -> (seeds,)
    """What stands in the column of an episode counted from 1; ∞ where that is ∞."""
    there = np.isfinite(number)
    columns = np.where(there, number, 1.0).astype(int) - 1
    return np.where(there, np.take_along_axis(values, columns[:, None], axis=1)[:, 0], np.inf)


def _better(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:  # (..., n), (..., m) -> (...)
    x, y = ours[..., :, None], theirs[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))


def _of_all(statistic: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A statistic of all cells taken together, whatever their task."""
    return lambda *tasks, axis: statistic(np.concatenate(tasks, axis=axis), axis=axis)


def _estimate(samples: list[np.ndarray], statistic: Callable[..., np.ndarray], resamples: int) -> Estimate:
    value, low, high = _stratified(samples, statistic, resamples)
    if low is None or high is None:
        return Estimate(float(value))
    return Estimate(float(value), float(low), float(high))


def _stratified(
    samples: list[np.ndarray],  # (..., seeds) each
    statistic: Callable[..., np.ndarray],
    resamples: int,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:  # (...) each
    """The statistic, and the percentile interval of it when each sample is drawn anew from itself.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if not samples or not all(sample.shape[-1] for sample in samples):
        raise ValueError("there is no score to say anything about")
    value = statistic(*samples, axis=-1)
    if any(sample.shape[-1] < 2 for sample in samples):
        return value, None, None
    interval = stats.bootstrap(
        samples,
        statistic,
        axis=-1,
        n_resamples=resamples,
        confidence_level=COVERAGE,
        method="percentile",
        # All resamples at once would take gigabytes where there are many cells.
        batch=max(1, min(resamples, 1_000_000 // sum(sample.size for sample in samples))),
        rng=np.random.default_rng(0),
    ).confidence_interval
    return value, interval.low, interval.high
