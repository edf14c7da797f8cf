"""Job ``benchmark``: recipes × tasks × seeds, with statistics of their differences."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from bfmkit.evaluation.benchmark.entry import BenchmarkRecipe, RecipeEntry, benchmark_recipes
from bfmkit.evaluation.benchmark.grid import as_played, grid
from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, saved_episodes
from bfmkit.evaluation.benchmark.runners import InProcess, OnRay, Processes, Runner
from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.evaluation.cells import CELLS, FLOORS, ORACLES, Cell, folder_name, read_cell
from bfmkit.evaluation.relative_return import counted
from bfmkit.inference.experiment import Run, chosen_seeds
from bfmkit.interfaces import Job, JobError
from bfmkit.recipe.yaml_text import read, write
from bfmkit.registry import register
from bfmkit.runs.metric_log import MetricLog
from bfmkit.runs.run_directory import SUMMARY, first_difference, write_summary
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.files import to_json, write_atomically
from bfmkit.utils.processes import Ended
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.threads import physical_cores

RECIPES, STATISTICS = "recipes", "statistics.json"

TOLD = (
    "relative_return", "relative_return_tasks", "no_relative_return", "interquartile_mean", "area_under_curve",
)  # fmt: skip
TOLD_OF_TASKS = (
    "oracle_return", "floor_return", "return_per_episode", "later_return", "oracle_later_return", "floor_later_return",
    "relative_return", "no_relative_return",
)  # fmt: skip
"""Of the statistics, what the summary has."""


@register(Job, "benchmark")
class BenchmarkJob(Job):
    """Comparison of inference recipes on the same tasks, seeds and episodes, relative to an oracle.

    Cells of one recipe share batches. How they are grouped, and so every number, depends on the benchmark's recipe
    alone, whoever runs the groups. Recipes that share model, environment and oracle share its runs, on the same seeds;
    so with the floor. A cell that is finished is on disk at once, as ``cells/<recipe>/<task>/<seed>.json``; a run that
    stops on an error fails alone. The same command goes on where it was interrupted, at the start of an episode, and
    runs again what failed because its worker died. Other failures stay, unless their files are deleted.

    Args:
        recipes: shipped inference recipes by name, files, or either with a ``name`` and ``overrides``.
        tasks: their names, or ``all``; none given: those of each recipe.
        seed: the first.
        seeds: how many seeds, counted on from ``seed``; or the seeds themselves, and then ``seed`` is not looked at.
        episodes: of each cell; none given: as many as each recipe says.
        overrides: ``path.to.key=value`` for all recipes.
        batch_size: how many cells to step together at most.
        threads: torch uses for a group, whoever runs it.
        runner: ``in_process``: one group after another; ``processes``: several of this machine; ``ray``: Ray.
        workers: processes, or CPUs that Ray may use on this machine; none given: one a physical core.
        address: of a Ray cluster; none given: Ray is started on this machine.

    Raises:
        ValueError: if a number is not positive, a seed or name comes twice, a recipe is not one of inference or cannot
            be built, an override has no effect, a task does not exist, an address is given to another runner than
            Ray, or Ray is wanted and missing.
        FileNotFoundError: if a model is missing.

    Example:
        ``bfmkit run benchmark_paper runner=processes``
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"runner", "workers", "address"})

    def __init__(
        self,
        recipes: list[str | RecipeEntry],
        tasks: str | list[str] | None = None,
        seed: int = 0,
        seeds: int | list[int] = 10,
        episodes: PositiveInt | None = None,
        overrides: tuple[str, ...] = (),
        batch_size: PositiveInt = 64,
        threads: PositiveInt = 1,
        runner: Literal["in_process", "processes", "ray"] = "in_process",
        workers: PositiveInt | None = None,
        address: str | None = None,
    ) -> None:
        if address is not None and runner != "ray":
            raise ValueError(f"address is of a Ray cluster, and the runner is {runner}; say runner=ray as well")
        self.seed, self.seeds = seed, chosen_seeds(seed, seeds)
        self.batch_size, self.threads = batch_size, threads
        self._settings: dict[str, Any] = {"seeds": list(self.seeds)}
        self._settings |= {} if tasks is None else {"tasks": tasks}
        self._settings |= {} if episodes is None else {"episodes": episodes}
        self.benchmark_recipes = benchmark_recipes(recipes, overrides, self._settings)
        workbench = Workbench()
        self.runner: Runner = InProcess(workbench)
        if runner == "processes":
            self.runner = Processes(workers or physical_cores())
        elif runner == "ray":
            self.runner = OnRay(address, workers)
        self.groups = grid(self.benchmark_recipes, workbench, self._settings, batch_size, threads)

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the cells that are missing, then write tables and statistics of all cells."""
        for recipe in self.benchmark_recipes:
            _keep_recipe(out, recipe, as_played(recipe, self.groups))
        groups = [group.on(str(device)) for group in self.groups]
        with MetricLog(out, self.loggers) as log, _Book(out, groups, log) as book:
            for group, news in self.runner(book.open_groups(), book.work):
                if isinstance(news, GroupEvent):
                    book.note(group, news)
                else:
                    book.close(group, news)
        return self._finish(out, groups)

    def _finish(self, out: Path, groups: Sequence[Group]) -> dict[str, Any]:
        from bfmkit.evaluation.comparison import compare, comparison_table, curves, relative_returns
        from bfmkit.evaluation.results import benchmark_table, write_results
        from bfmkit.report.plots.comparison import draw_profiles, draw_return_by_episode

        table = benchmark_table(out, [recipe.name for recipe in self.benchmark_recipes])
        write_results(out, table)
        statistics = compare(table)
        write_atomically(out / STATISTICS, to_json(statistics))
        if not table.is_empty():
            draw_return_by_episode(out / "figures" / "return_by_episode.png", table)
            scores = {name: known for name, of in curves(table).items() if (known := relative_returns(of))}
            if scores:
                draw_profiles(out / "figures" / "profiles.png", scores)
        cells = [(group.label, read_cell(_path(out, group, run))) for group in groups for run in group.runs]
        failed = [
            f"{label}, task {cell.task}, seed {cell.seed}: {cell.error}"
            for label, cell in cells
            if cell.status == "failed"
        ]
        summary = {
            "cells": len(cells),
            "failed": failed,
            "recipes": {
                name: {
                    "tasks": {
                        task: {key: numbers[key] for key in TOLD_OF_TASKS}
                        for task, numbers in of_recipe["tasks"].items()
                    },
                    **{key: of_recipe[key] for key in TOLD},
                }
                for name, of_recipe in statistics["recipes"].items()
            },
            "seeds": list(self.seeds),
            "batch_size": self.batch_size,
            "threads": self.threads,
        }
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in comparison_table(statistics)))
        if failed:
            sys.stderr.write("".join(f"failed: {line}\n" for line in failed))
            raise JobError(f"{len(failed)} of {_cells(len(cells))} failed; {out / SUMMARY} names them too")
        return summary


class _Book:
    """What is finished, on disk; what to show, on the bar."""

    def __init__(self, out: Path, groups: Sequence[Group], log: Any) -> None:
        self._out, self._groups, self._log = out, groups, log
        self._finished = {group.key: {run for run in group.runs if self._is_final(group, run)} for group in groups}
        self._failed = {
            group.key: {run for run in self._finished[group.key] if self._is_failed(group, run)} for group in groups
        }
        self._lived = {group.key: self._lived_before(group) for group in groups}

    def __enter__(self) -> _Book:
        total = sum(len(group.runs) * group.episodes for group in self._groups)
        done = sum(len(group.runs) * self._lived[group.key] for group in self._groups)
        self._bar = ProgressBar("benchmark", total, "episodes", done)
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def open_groups(self) -> list[Group]:
        """Those that have something left to run, the references first: the others are measured against them."""
        return [group for group in self._groups if not self._is_closed(group)]

    def work(self, group: Group) -> GroupTask:
        """How far a group is."""
        checkpoint = self._checkpoint(group)
        saved = checkpoint.read_bytes() if checkpoint.is_file() else None
        return GroupTask(group, saved, frozenset(self._finished[group.key]))

    def note(self, group: Group, news: GroupEvent) -> None:
        """Write down what happened; a cell before the state that takes it for written."""
        for cell in news.cells:
            if Run(cell.task, cell.seed) not in self._finished[group.key]:
                cell.write(self._folder(group))
                self._finished[group.key].add(Run(cell.task, cell.seed))
                if cell.status == "failed":
                    self._failed[group.key].add(Run(cell.task, cell.seed))
        if news.saved is not None:
            checkpoint = self._checkpoint(group)
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(checkpoint, news.saved)
        if news.returns:
            self._tell(group, news)
        self._advance(group, min(news.episode + 1, group.episodes))

    def close(self, group: Group, ended: Ended) -> None:
        """Nothing more will be heard of a group."""
        for run in group.runs:
            if run not in self._finished[group.key]:
                self._failed[group.key].add(run)
                error = ended.error or "the group ended without it"
                Cell(
                    group.name, *run, status="failed", error=error, oracle=group.oracle, floor=group.floor, lost=True
                ).write(self._folder(group))
        if ended.error is None:
            self._checkpoint(group).unlink(missing_ok=True)
        self._advance(group, group.episodes)
        said = self._said(group) if group.role == "agent" else ""
        failed = len(self._failed[group.key])
        count = f"{_cells(len(group.runs) - failed)} done{f', {failed} failed' if failed else ''}"
        self._bar.say(f"{group.key}: {count}{f', lost: {ended.error}' if ended.error else ''}{said}")

    def _tell(self, group: Group, news: GroupEvent) -> None:
        by_task: dict[str, list[float]] = {}
        for run, value in news.returns.items():
            by_task.setdefault(run.task, []).append(value)
        for task, values in by_task.items():
            self._log.log_metrics({f"return/{group.label}/{task}": float(np.mean(values))}, news.episode)

    def _said(self, group: Group) -> str:
        """The relative return of a recipe, as far as its cells are there."""
        from bfmkit.evaluation.comparison import compare
        from bfmkit.evaluation.results import benchmark_table

        table = benchmark_table(self._out, [group.name])
        if table.is_empty():
            return ""
        numbers = compare(table, resamples=2)["recipes"][group.name]
        if numbers["relative_return"] is None:
            return ", no relative return"
        tasks = counted(len(numbers["relative_return_tasks"]), len(numbers["tasks"]))
        return f", relative return {numbers['relative_return']['value']:.2f} over {tasks}"

    def _advance(self, group: Group, lived: int) -> None:
        gained = max(0, lived - self._lived[group.key])
        self._lived[group.key] += gained
        cells = sum(len(self._finished[each.key] | self._failed[each.key]) for each in self._groups)
        shown: dict[str, float | str] = {"cells": f"{cells}/{sum(len(each.runs) for each in self._groups)}"}
        failed = sum(map(len, self._failed.values()))
        shown |= {"failed": failed} if failed else {}
        shown |= {"running": group.label}
        self._bar.advance(gained * len(group.runs), **shown)

    def _lived_before(self, group: Group) -> int:
        saved = self.work(group).saved
        return group.episodes if self._is_closed(group) else 0 if saved is None else saved_episodes(saved)

    def _is_final(self, group: Group, run: Run) -> bool:
        path = _path(self._out, group, run)
        return path.is_file() and not read_cell(path).lost

    def _is_failed(self, group: Group, run: Run) -> bool:
        return read_cell(_path(self._out, group, run)).status == "failed"

    def _is_closed(self, group: Group) -> bool:
        return len(self._finished[group.key]) == len(group.runs)

    def _folder(self, group: Group) -> Path:
        return _folder(self._out, group)

    def _checkpoint(self, group: Group) -> Path:
        return self._out / "checkpoints" / f"{folder_name(group.key)}.pt"


def _keep_recipe(out: Path, recipe: BenchmarkRecipe, played: dict[str, Any]) -> None:
    """Keep what a name stands for: cells of another recipe must not come to stand beside those of this."""
    path = out / RECIPES / f"{folder_name(recipe.name)}.yaml"
    if path.is_file():
        earlier = read(path.read_text(encoding="utf-8"))
        difference = first_difference(earlier, played)
        if difference is None:
            return
        # It was once kept as it came, whatever was played of it; such a directory can be gone on with.
        if first_difference(earlier, recipe.tree) is not None:
            raise JobError(f"{path}: the recipe has changed since; {difference}; choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write(played))


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _path(out: Path, group: Group, run: Run) -> Path:
    return Cell(group.name, *run).path(_folder(out, group))


def _folder(out: Path, group: Group) -> Path:
    return out / {"agent": CELLS, "oracle": ORACLES, "floor": FLOORS}[group.role]
