"""Reader of run directories for reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from bfmkit.evaluation.cells import folder_name
from bfmkit.evaluation.results import read_failures, read_results, recipe_names
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.expression import task_title
from bfmkit.runs.run_directory import PROVENANCE, RECIPE, SUMMARY, RunDirectoryError, read_recipe
from bfmkit.runs.trace import read_trace

RECIPES = "recipes"
"""Where a benchmark keeps its recipes, resolved."""

COMPARED = ("infer", "benchmark")
"""Jobs that leave a row an episode."""

UNSAID = ("seeds", "batch_size", "threads")
"""What a benchmark has a value of whether or not its recipe says one, and leaves in its summary."""


@dataclass(frozen=True)
class ReportedRun:
    """Finished run, as a report reads it from its directory."""

    path: Path  # of the run directory
    name: str  # what the report calls it, unlike any other's
    recipe: dict[str, Any]  # resolved
    recipes: dict[str, dict[str, Any]]  # name -> resolved recipe, what is compared; of a benchmark, those of its cells
    provenance: dict[str, Any]  # where it comes from
    summary: dict[str, Any]  # what came out
    results: pl.DataFrame | None  # a row an episode; None for a job without episodes
    failures: pl.DataFrame  # what went wrong, a row a cell
    trace: pl.DataFrame  # what was believed on the way; without rows where nothing was traced
    labels: Mapping[str, str] = field(default_factory=dict)  # recipe or task -> what the report calls it

    @property
    def job(self) -> str:
        """Name of the job."""
        return str(self.recipe.get("type", "?"))

    @property
    def settings(self) -> dict[str, Any] | None:
        """Recipe of a benchmark with the settings that its numbers depend on, and defaults; None for other jobs."""
        if self.job != "benchmark":
            return None
        return self.recipe | {key: self.summary[key] for key in UNSAID if key in self.summary}

    @property
    def command(self) -> str:
        """Command that reproduces the run."""
        return str(self.provenance.get("command") or f"bfmkit run {self.path / RECIPE}")

    @property
    def figures(self) -> list[Path]:
        """Files of the figures drawn by the job."""
        return sorted((self.path / "figures").glob("*.png"))


def read_runs(paths: Sequence[Path]) -> list[ReportedRun]:
    """Runs of a report; those with recipes of the same name are told apart by the names of their directories.

    Raises:
        RunDirectoryError: with a line for every directory that holds no finished run.
    """
    runs, problems = [], []
    for number, path in enumerate(paths):
        if path.resolve() in {other.resolve() for other in paths[:number]}:
            problems.append(f"{path}: is given twice")
            continue
        try:
            runs.append(_read_run(path))
        except RunDirectoryError as refusal:
            problems.append(str(refusal))
    if problems:
        raise RunDirectoryError("\n".join(problems))
    return _told_apart(runs)


def chosen(
    runs: Sequence[ReportedRun],
    recipes: Sequence[str] = (),
    tasks: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> list[ReportedRun]:
    """Runs restricted to some recipes and tasks, in the given order, under other names.

    Args:
        runs: as :func:`read_runs` gives them.
        recipes: which of them; none given: all.
        tasks: which of them; none given: all.
        labels: recipe or task -> what to call it.

    Raises:
        RunDirectoryError: for a recipe or task that no run has.
    """
    known = {
        column: list(dict.fromkeys(name for run in runs if run.results is not None for name in run.results[column]))
        for column in ("recipe", "task")
    }
    # A typed reward is called by its name as well as by its whole text.
    whole = {task_title(task): task for task in known["task"]}
    tasks = [whole.get(task, task) for task in tasks]
    wanted = {"recipe": list(recipes) or known["recipe"], "task": tasks or known["task"]}
    calls = {whole.get(name, name): label for name, label in (labels or {}).items()}
    for column, names in wanted.items():
        for name in names:
            if name not in known[column]:
                near = suggestion(name, known[column])
                raise RunDirectoryError(f"no run has the {column} {name}{near} {one_of(known[column])}")
    nameable = [*known["recipe"], *known["task"]]
    for name in calls:
        if name not in nameable:
            raise RunDirectoryError(f"--labels: no run has a recipe or task {name} {one_of(nameable)}")

    def taken(frame: pl.DataFrame) -> pl.DataFrame:
        for column, names in wanted.items():
            if column in frame.columns and (recipes if column == "recipe" else tasks):
                order = pl.col(column).replace_strict({name: at for at, name in enumerate(names)}, default=None)
                frame = frame.filter(pl.col(column).is_in(names)).sort(order, maintain_order=True)
            if column in frame.columns:
                frame = frame.with_columns(pl.col(column).replace(calls))
        return frame

    found = []
    for run in runs:
        trees = {name: tree for name, tree in run.recipes.items() if name in wanted["recipe"] or not recipes}
        trees = {calls.get(name, name): tree for name, tree in trees.items()}
        results = None if run.results is None else taken(run.results)
        if results is None or not results.is_empty():
            failures, trace = taken(run.failures), taken(run.trace)
            found.append(replace(run, recipes=trees, results=results, failures=failures, trace=trace, labels=calls))
    return found


def _read_run(path: Path) -> ReportedRun:
    if path.is_file():
        raise RunDirectoryError(f"{path}: is a file; expected the directory of a run")
    if not path.is_dir():
        raise RunDirectoryError(f"{path}: there is no such directory")
    if not (path / RECIPE).is_file():
        raise RunDirectoryError(f"{path}: is no run directory, for it has no {RECIPE}")
    recipe = read_recipe(path / RECIPE)
    if not (path / SUMMARY).is_file():
        raise RunDirectoryError(
            f"{path}: this run is not finished, for it has no {SUMMARY}; "
            f"to go on: bfmkit run {path / RECIPE} --out {path}"
        )
    provenance = _read_json(path / PROVENANCE) if (path / PROVENANCE).is_file() else {}
    summary = _read_json(path / SUMMARY)
    results, failures, trace = None, pl.DataFrame(), pl.DataFrame()
    if recipe.get("type") in COMPARED:
        try:
            results, failures, trace = read_results(path), read_failures(path), read_trace(path)
        except ValueError as error:
            raise RunDirectoryError(str(error)) from error
        if results.is_empty() and failures.is_empty():
            raise RunDirectoryError(f"{path}: this run is empty: it holds no episode")
    source = provenance.get("recipe")
    name = Path(str(source)).stem if source else path.name
    return ReportedRun(path, name, recipe, _compared(path, recipe, name), provenance, summary, results, failures, trace)


def _compared(path: Path, recipe: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Recipes to compare: those of a benchmark, resolved; of another job its own."""
    if recipe.get("type") != "benchmark":
        return {name: recipe}
    names = recipe_names(recipe)
    files = {each: path / RECIPES / f"{folder_name(each)}.yaml" for each in names}
    return {each: read_recipe(file) for each, file in files.items() if file.is_file()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{path}: holds something else than was written there")
    return content


def _told_apart(runs: list[ReportedRun]) -> list[ReportedRun]:
    names = [run.name for run in runs]
    recipes = [name for run in runs for name in _recipes(run)]
    found: list[ReportedRun] = []
    for run in runs:
        place = run.path.resolve().name
        name = run.name if names.count(run.name) == 1 else f"{run.name} ({place})"
        if name in {other.name for other in found}:
            name = f"{run.name} ({run.path})"
        tag = name.removeprefix(run.name)
        calls = {each: f"{each}{tag or f' ({place})'}" for each in _recipes(run) if recipes.count(each) > 1}
        results = None if run.results is None else _renamed(run.results, calls)
        trees = {calls.get(each, each) if run.job == "benchmark" else name: tree for each, tree in run.recipes.items()}
        found.append(replace(run, name=name, recipes=trees, results=results, failures=_renamed(run.failures, calls)))
    return found


def _renamed(frame: pl.DataFrame, calls: dict[str, str]) -> pl.DataFrame:
    return frame.with_columns(pl.col("recipe").replace(calls)) if "recipe" in frame.columns else frame


def _recipes(run: ReportedRun) -> list[str]:
    frames = [frame for frame in (run.results, run.failures) if frame is not None and "recipe" in frame.columns]
    return list(dict.fromkeys(name for frame in frames for name in frame["recipe"].unique(maintain_order=True)))
