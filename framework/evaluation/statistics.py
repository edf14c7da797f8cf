"""Statistics of comparisons: interquartile means, bootstrap intervals over seeds, who improves on whom.

Scores are those of one recipe: task -> a :class:`Sample` of seeds. The bootstrap is stratified: it draws seeds within
each task and never tasks, so intervals say what other seeds would give on the same tasks. With a seed come its
returns of the oracle and of the floor, so an interval holds what is not known of these too.

Reference:
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class Sample:
    """Sample of one task's seeds: plain values, or relative to an oracle and a floor.

    score_s = (value_s − F)/(O − F), with O and F the means over seeds of ``oracle`` and ``floor``
    """

    values: np.ndarray  # (S,), one a seed
    oracle: np.ndarray | None = None  # (S,), one a seed, NaN where it is missing; None: scores are the values
    floor: np.ndarray | None = None  # (S,), likewise; given where ``oracle`` is

    @property
    def scores(self) -> np.ndarray:  # (S,)
        """Score of each seed."""
        return self.drawn(np.arange(len(self.values))[None])[0]

    def drawn(self, rows: np.ndarray) -> np.ndarray:  # (R, S) -> (R, S)
        """Scores of R bootstrap samples of seeds; NaN where a sample's oracle is not above its floor."""
        values = self.values[rows]
        if self.oracle is None or self.floor is None:
            return values
        oracle, floor = _known_means(self.oracle[rows]), _known_means(self.floor[rows])
        gap = np.where(oracle > floor, oracle - floor, np.nan)
        return (values - floor[:, None]) / gap[:, None]


Scores = Mapping[str, Sample]
"""Task -> the sample of its seeds."""


@dataclass(frozen=True)
class Estimate:
    """Estimate with its confidence interval.

    No interval where a task has fewer than two seeds, or where the seeds leave open whether its oracle is above its
    floor.
    """

    value: float  # over the seeds that there are
    low: float | None = None  # where the interval begins
    high: float | None = None  # where it ends


def interquartile_mean(scores: Scores, resamples: int = RESAMPLES) -> Estimate:
    """Interquartile mean: the mean of the middle half of all cells, equally weighted over tasks.

    A quarter of them, rounded down, is left out at either end.
    """

    def middle(*tasks: np.ndarray, axis: int) -> np.ndarray:
        cells = np.sort(np.moveaxis(np.concatenate(tasks, axis=axis), axis, -1), axis=-1)
        cut = cells.shape[-1] // 4
        return cells[..., cut : cells.shape[-1] - cut].mean(axis=-1)

    return _estimate(list(scores.values()), middle, resamples)


def mean(scores: Scores, resamples: int = RESAMPLES) -> Estimate:
    """Mean over tasks of the mean over seeds."""

    def of_tasks(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([task.mean(axis=axis) for task in tasks], axis=0)

    return _estimate(list(scores.values()), of_tasks, resamples)


def probability_of_improvement(ours: Scores, theirs: Scores, resamples: int = RESAMPLES) -> Estimate:
    """Probability of improvement: of a seed of ours scoring above a seed of theirs, on a random common task.

    P = mean over tasks of  1/(n m) Σ_i Σ_j (1[x_i > y_j] + ½ 1[x_i = y_j])

    x and y are the values, not relative to anything: which of two is larger is the same on any scale.

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

    return _estimate([Sample(side[task].values) for side in (ours, theirs) for task in tasks], improves, resamples)


@dataclass(frozen=True)
class Profile:
    """Performance profile: the share of cells with a score above each threshold."""

    thresholds: np.ndarray  # (T,), τ, of a score
    share: np.ndarray  # (T,), of the cells above it
    low: np.ndarray | None = None  # (T,)
    """Where the interval of each share begins; None where a task has fewer than two seeds."""
    high: np.ndarray | None = None  # (T,), where it ends


def performance_profile(
    scores: Scores, thresholds: Sequence[float] | np.ndarray, resamples: int = RESAMPLES
) -> Profile:
    """Performance profile F(τ), the share of cells with a score above τ, with an interval at each τ."""
    grid = np.asarray(thresholds, dtype=float)

    def above(*tasks: np.ndarray, axis: int) -> np.ndarray:  # (..., seeds) each -> (T, ...)
        cells = np.concatenate(tasks, axis=axis)
        return np.stack([np.where(np.isnan(cells), np.nan, cells > threshold).mean(axis=axis) for threshold in grid])

    return Profile(grid, *_stratified(list(scores.values()), above, resamples))


def first_to_reach(relative: np.ndarray, share: float = 0.9) -> np.ndarray:  # (seeds, episodes) -> (seeds,)
    """First episode, counted from 1, with at least ``share`` of the oracle's return; ∞ without one."""
    reached = relative >= share
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def at_episode(values: np.ndarray, number: np.ndarray) -> np.ndarray:  # (seeds, episodes), (seeds,) -> (seeds,)
    """Value of the column of an episode counted from 1; ∞ where that is ∞."""
    there = np.isfinite(number)
    columns = np.where(there, number, 1.0).astype(int) - 1
    return np.where(there, np.take_along_axis(values, columns[:, None], axis=1)[:, 0], np.inf)


def _better(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:  # (..., n), (..., m) -> (...)
    x, y = ours[..., :, None], theirs[..., None, :]
    return ((x > y) + 0.5 * (x == y)).mean(axis=(-2, -1))


def _known_means(values: np.ndarray) -> np.ndarray:  # (R, S) -> (R,)
    """Means of what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _estimate(samples: list[Sample], statistic: Callable[..., np.ndarray], resamples: int) -> Estimate:
    value, low, high = _stratified(samples, statistic, resamples)
    if low is None or high is None:
        return Estimate(float(value))
    return Estimate(float(value), float(low), float(high))


def _stratified(
    samples: list[Sample],
    statistic: Callable[..., np.ndarray],  # of (..., S) each
    resamples: int,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The statistic, and the percentile interval of it when the seeds of each sample are drawn anew from themselves.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if not samples or not all(len(sample.values) for sample in samples):
        raise ValueError("there is no score to say anything about")
    value = statistic(*(sample.scores for sample in samples), axis=-1)
    if any(len(sample.values) < 2 for sample in samples):
        return value, None, None
    random = np.random.default_rng(0)
    drawn = []
    for sample in samples:
        count = len(sample.values)
        drawn.append(sample.drawn(random.integers(count, size=(resamples, count))))
    tail = (1.0 - COVERAGE) / 2.0
    usable = np.all([np.isfinite(cells).all(axis=1) for cells in drawn], axis=0)  # (R,)
    if usable.mean() < 1.0 - tail:
        return value, None, None
    low, high = np.quantile(statistic(*(cells[usable] for cells in drawn), axis=-1), [tail, 1.0 - tail], axis=-1)
    return value, low, high
