"""What a document takes from finished runs and from measurements: numbers that print as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from kept import KeptRun, made

from bfmkit.evaluation.comparison import compare, curves
from bfmkit.evaluation.relative_return import counted
from bfmkit.evaluation.statistics import Sample, mean
from bfmkit.report.tables import Cell, pipe_table
from bfmkit.runs.run_directory import RunDirectoryError

NEVER, UNKNOWN = "never", "–"


@dataclass(frozen=True)
class Interval:
    """An estimate; prints as ``1.01 [0.96, 1.06]``, without the brackets where nothing is known of its error.

    Args:
        value: the estimate.
        low: where its interval begins.
        high: where it ends.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:z.2f}"
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"


@dataclass(frozen=True)
class Reaching:
    """When a relative return of 0.9 was reached; prints as the median, or ``never``.

    Args:
        median: over runs; None if most never got there.
        share: of the runs that did.
    """

    median: float | None
    share: float

    def __str__(self) -> str:
        return NEVER if self.median is None else f"{self.median:,.0f}"


class Numbers:
    """Of one recipe, over its tasks or on one of them.

    Args:
        said: as ``statistics.json`` has them.
        name: of the recipe, for messages.
    """

    def __init__(self, said: Mapping[str, Any], name: str) -> None:
        self._said, self._name = said, name

    @property
    def relative_return(self) -> Interval:
        """(Later episodes − floor) / (oracle − floor)."""
        return self._interval("relative_return")

    @property
    def short(self) -> str:
        """The relative return without its interval; a dash where there is none."""
        return UNKNOWN if self._said.get("relative_return") is None else f"{self.relative_return.value:z.2f}"

    @property
    def interquartile_mean(self) -> Interval:
        """Of the same scores."""
        return self._interval("interquartile_mean")

    @property
    def area(self) -> Interval:
        """The relative return of all episodes."""
        return self._interval("area_under_curve")

    @property
    def episodes(self) -> Reaching:
        """That it took to reach a relative return of 0.9."""
        return self._reaching("episodes_to_90_percent")

    @property
    def labels(self) -> Reaching:
        """That it took to reach a relative return of 0.9."""
        return self._reaching("labels_to_90_percent")

    @property
    def returns(self) -> list[float]:
        """Of each episode of a task, means over seeds."""
        return list(self._known("return_per_episode"))

    @property
    def oracle(self) -> float:
        """Its mean return on a task."""
        return float(self._known("oracle_return"))

    @property
    def floor(self) -> float:
        """The mean return of random weights' policies on a task."""
        return float(self._known("floor_return"))

    @property
    def relative(self) -> list[float] | None:
        """Relative return of each episode of a task, a mean over seeds; None where there is none."""
        return self._said.get("relative_return_per_episode")

    def task(self, name: str) -> Numbers:
        """The numbers of one task."""
        tasks = self._said.get("tasks", {})
        if name not in tasks:
            raise RunDirectoryError(f"{self._name}: was not tried on {name}; there are {', '.join(tasks)}")
        return Numbers(tasks[name], f"{self._name}, {name}")

    def relative_in(self, episode: int) -> float:
        """Mean relative return of an episode, counted from 1, over the tasks that have one."""
        tasks = [self.task(name) for name in self._known("relative_return_tasks")] if "tasks" in self._said else [self]
        if not tasks:
            raise RunDirectoryError(f"{self._name}: no task has a relative return")
        return sum(each._known("relative_return_per_episode")[episode - 1] for each in tasks) / len(tasks)

    def _known(self, key: str) -> Any:
        if self._said.get(key) is None:
            raise RunDirectoryError(f"{self._name}: nothing is known of its {key}")
        return self._said[key]

    def _interval(self, key: str) -> Interval:
        return Interval(**self._known(key))

    def _reaching(self, key: str) -> Reaching:
        return Reaching(**self._known(key))


class Comparison:
    """Runs of inference and benchmarks, their recipes side by side.

    Args:
        runs: whose names of recipes differ.

    Raises:
        RunDirectoryError: if a run has no episodes.
    """

    def __init__(self, runs: Sequence[KeptRun]) -> None:
        self._runs = runs
        self.episodes: pl.DataFrame = pl.concat([run.episodes for run in runs])
        self._statistics = compare(self.episodes)

    @property
    def recipes(self) -> list[str]:
        """Their names."""
        return list(self._statistics["recipes"])

    @property
    def tasks(self) -> list[str]:
        """Of the first recipe."""
        return list(self._statistics["recipes"][self.recipes[0]]["tasks"])

    @property
    def failed(self) -> int:
        """How many cells failed."""
        return sum(run.failed for run in self._runs)

    @property
    def made(self) -> str:
        """When, by which revision, on how many threads of what."""
        return "; ".join(dict.fromkeys(run.made for run in self._runs))

    def of(self, recipe: str) -> Numbers:
        """One recipe's numbers."""
        if recipe not in self.recipes:
            raise RunDirectoryError(
                f"{self._runs[0].name}: has no recipe {recipe}; there are {', '.join(self.recipes)}"
            )
        return Numbers(self._statistics["recipes"][recipe], recipe)

    def improvement(self, recipe: str, over: str) -> Interval:
        """How likely a run of one recipe does better than one of another."""
        self.of(recipe), self.of(over)
        for pair in self._statistics["probability_of_improvement"]:
            if (pair["recipe"], pair["over"]) == (recipe, over):
                return Interval(pair["value"], pair["low"], pair["high"])
        raise RunDirectoryError(f"{recipe} and {over} have no task in common")

    def table(
        self, recipes: Sequence[str] | None = None, versus: str | None = None, tasks: Sequence[str] | None = None
    ) -> str:
        """Relative returns by task and over all, and how fast they came; a row a recipe.

        Args:
            recipes: which, in this order; none given: all.
            versus: a recipe to say the probability of improvement over.
            tasks: all of them, in another order.
        """
        names, tasks = list(recipes or self.recipes), list(tasks or self.tasks)
        scored = counted(len(self.of(names[0])._known("relative_return_tasks")), len(tasks))
        head = ["recipe", *tasks, *([scored] if len(tasks) > 1 else []), "interquartile mean", "area"]
        head += ["episodes", "labels", "get there"] + ([f"better than `{versus}`"] if versus else [])
        rows = []
        for name in names:
            all_tasks = self.of(name)
            row = [f"`{name}`", *(all_tasks.task(task).short for task in tasks)]
            if len(tasks) == 1:
                row[1] = str(all_tasks.task(tasks[0]).relative_return)
            else:
                row.append(str(all_tasks.relative_return))
            row += [str(all_tasks.interquartile_mean), f"{all_tasks.area.value:.2f}", str(all_tasks.episodes)]
            row += [str(all_tasks.labels), f"{100 * all_tasks.labels.share:.0f} %"]
            if versus:
                row.append(UNKNOWN if name == versus else str(self.improvement(name, versus)))
            rows.append(row)
        return pipe_table(head, [[Cell(text) for text in row] for row in rows])

    def chosen(self, recipes: Sequence[str] | None) -> pl.DataFrame:
        """The episodes of some recipes, in this order."""
        names = list(recipes or self.recipes)
        for name in names:
            self.of(name)
        return pl.concat([self.episodes.filter(pl.col("recipe") == name) for name in names])

    def windows(self) -> pl.DataFrame:
        """Long episodes by windows, the oracle as one more recipe."""
        return pl.concat([run.windows for run in self._runs])

    def mean(self, task: str, first: int = 1, last: int | None = None) -> float:
        """Mean over seeds of the first recipe's episodes from ``first`` to ``last``, counted from 1.

        Args:
            task: which.
            first: the first of these episodes.
            last: the last; none given: the last there is.
        """
        return float(self._by_seed(task, first, last, "return").mean())

    def by_seed(self, task: str, first: int = 1, last: int | None = None) -> list[float]:
        """The same of each seed."""
        return [float(value) for value in self._by_seed(task, first, last, "return")]

    def inferred(self, task: str, first: int = 1, last: int | None = None) -> float:
        """Mean return of those among these episodes that are of the inferred policy."""
        rows = self._rows(task, first, last).filter(pl.col("policy") == "inferred")
        if rows.is_empty():
            raise RunDirectoryError(f"{self._runs[0].name}: no such episode of {task} is of the inferred policy")
        return float(rows["return"].mean())  # type: ignore[arg-type]

    def oracle(self, task: str) -> float:
        """The oracle's mean return, over the runs that had one."""
        returns = self._by_seed(task, 1, None, "oracle_return").astype(float)
        if np.isnan(returns).all():
            raise RunDirectoryError(f"{self._runs[0].name}: no oracle was tried on {task}")
        return float(np.nanmean(returns))

    def labels(self, task: str, episode: int) -> list[str]:
        """Rewards taken in by the end of an episode, counted from 1, by the first recipe, of each seed."""
        return [f"{count:,.0f}" for count in self._by_seed(task, episode, episode, "labels")]

    def shares_of_oracle(self, task: str, first: int = 1, last: int | None = None) -> list[float]:
        """The first recipe's return over the oracle's mean, of each seed."""
        oracle = self.oracle(task)
        return [value / oracle for value in self.by_seed(task, first, last)]

    def ratio(self, over: Comparison, tasks: Sequence[str], first: int = 1, last: int | None = None) -> Interval:
        """Mean over tasks and seeds of the return over that of another run's same episodes, with a bootstrap interval.

        Args:
            over: a run of the same tasks and seeds.
            tasks: which.
            first: the first of these episodes.
            last: the last; none given: the last there is.
        """
        returns = {task: [run._by_seed(task, first, last, "return") for run in (self, over)] for task in tasks}
        return _mean({task: ours / theirs for task, (ours, theirs) in returns.items()})

    def first_reaching(self, task: str, share: float = 0.9) -> list[int | None]:
        """The first episode, counted from 1, with that share of the oracle's mean return, of each seed; None: never."""
        found = curves(self.episodes)[self.recipes[0]][task]
        reached = found.returns >= share * np.nanmean(found.oracle)  # (S, n)
        return [int(row.argmax()) + 1 if row.any() else None for row in reached]

    def _by_seed(self, task: str, first: int, last: int | None, column: str) -> np.ndarray:  # (S,)
        rows = self._rows(task, first, last)
        return rows.group_by("seed").agg(pl.col(column).mean()).sort("seed")[column].to_numpy()

    def _rows(self, task: str, first: int, last: int | None) -> pl.DataFrame:
        rows = self.episodes.filter((pl.col("recipe") == self.recipes[0]) & (pl.col("task") == task))
        rows = rows.filter(pl.col("episode").is_between(first - 1, (last or rows.height) - 1))
        if rows.is_empty():
            raise RunDirectoryError(f"{self._runs[0].name}: has no episodes {first} to {last} of {task}")
        return rows


def average(values: Sequence[float]) -> Interval:
    """Mean over seeds, with a bootstrap interval."""
    return _mean({"": np.array(values)})


def error_of_mean(values: Sequence[float]) -> float:
    """Standard error of a mean over seeds."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def ratio_of_means(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Ratio of two means over the seeds that both have, the first of either, with a bootstrap interval."""
    from scipy.stats import bootstrap

    common = min(len(ours), len(theirs))
    pair = (np.array(ours[:common]), np.array(theirs[:common]))

    def ratio(ours: np.ndarray, theirs: np.ndarray, axis: int = -1) -> np.ndarray:
        return ours.mean(axis=axis) / theirs.mean(axis=axis)

    between = bootstrap(pair, ratio, paired=True, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return Interval(float(ratio(*pair)), float(between.low), float(between.high))


def over_oracle(*parts: tuple[Comparison, Comparison, Sequence[str], int, int]) -> Interval:
    """Mean over tasks and seeds of the return over the oracle's, with a bootstrap interval over seeds.

    Args:
        parts: a run, the run with the oracle, which tasks, and from which episode to which, counted from 1.
    """
    shares = {
        (number, task): np.array(run.by_seed(task, first, last)) / reference.oracle(task)
        for number, (run, reference, tasks, first, last) in enumerate(parts)
        for task in tasks
    }
    return _mean(shares)


def _mean(values: Mapping[Any, np.ndarray]) -> Interval:  # (S,) each
    """Over tasks and seeds; seeds are drawn anew for the interval."""
    estimate = mean({key: Sample(of_seeds) for key, of_seeds in values.items()})
    return Interval(estimate.value, estimate.low, estimate.high)


class Measured:
    """A JSON file of a script that measures: its numbers by name.

    Args:
        path: of the file.

    Raises:
        RunDirectoryError: if it cannot be read, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = json.loads(path.read_text(encoding="utf-8"))
            self._numbers: dict[str, float] = {
                str(name): float(value) for name, value in self._content["measured"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunDirectoryError(f"{path}: holds no measurements: {error}") from error

    def __getitem__(self, name: str) -> float:
        if name not in self._numbers:
            raise RunDirectoryError(f"{self._path}: nothing called {name} was measured; {', '.join(self._numbers)}")
        return self._numbers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    @property
    def made(self) -> str:
        """When, by which revision, on how many threads of what."""
        return made(self._content)

    def table(self, rows: Mapping[str, str], columns: Mapping[str, str], digits: int = 2) -> str:
        """Numbers whose names are ``COLUMN.ROW``; a dash where there is none.

        Args:
            rows: what a row is called -> the end of the names.
            columns: what a column is called -> the beginning of the names.
            digits: after the point.
        """
        cells = [[f"{column}.{row}" for column in columns.values()] for row in rows.values()]
        texts = [[f"{self[name]:,.{digits}f}" if name in self else UNKNOWN for name in row] for row in cells]
        named = [[Cell(title), *map(Cell, row)] for title, row in zip(rows, texts, strict=True)]
        return pipe_table(["", *columns], named)
