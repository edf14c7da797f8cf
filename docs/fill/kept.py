"""What a document keeps of a run beside itself: tidy tables and provenance, so that it can be made without the runs.

A run NAME leaves ``NAME.json`` (what came out, where it came from; of long inference what the belief explains at its
end, of other inference how much of the reward lay in the leading directions of what was visited) and, if it has
episodes, ``NAME.csv``, a row an episode; if these are long, ``NAME.windows.csv`` as well. A measurement is its JSON
file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from bfmkit.evaluation.diagnostics.features import leading_share
from bfmkit.evaluation.results import SCHEMA, read_windows
from bfmkit.report.run_reader import read_runs
from bfmkit.runs.explanation import explain
from bfmkit.runs.record import FOLDER as RECORDS
from bfmkit.runs.record import Record, RecordError
from bfmkit.runs.run_directory import SUMMARY, RunDirectoryError
from bfmkit.utils.files import to_json, write_atomically
from bfmkit.utils.linalg import least_squares_weights

PROVENANCE = ("time", "git", "processor", "threads", "versions")
"""What is kept of it: nothing that tells of one machine's folders."""

TOLD = {
    "continuing_regret": ("studies",),
    "data_efficiency": ("labels", "tasks"),
    "generality": ("models",),
    "inspect": ("measures",),
    "pretrain": ("updates", "tasks"),
    "regret": ("dims",),
    "track": ("distance_by_seed", "distance_at_end_of_hold"),
}
"""Job -> what is kept of its summary; of other jobs nothing, for their tables hold it."""

LONG = 50
"""Episodes from which on a run of ``infer`` is long: beliefs drift in the long run, and what they explain at the end is
then kept of their records; to explain one takes a second or two."""


@dataclass(frozen=True)
class KeptRun:
    """A run, as a document keeps it.

    Args:
        folder: of all that the document keeps.
        name: of the run.
    """

    folder: Path
    name: str

    @cached_property
    def content(self) -> dict[str, Any]:
        """``job``, ``failed``, ``provenance``, and what else its job is kept of."""
        path = self.folder / f"{self.name}.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"{path}: holds nothing of a run: {error}") from error

    @cached_property
    def episodes(self) -> pl.DataFrame:
        """A row an episode, as :func:`~bfmkit.evaluation.results.read_results` gives it."""
        return self._table(f"{self.name}.csv")

    @cached_property
    def windows(self) -> pl.DataFrame:
        """A row a window of long episodes, as :func:`~bfmkit.evaluation.results.read_windows` gives it."""
        return self._table(f"{self.name}.windows.csv")

    @property
    def failed(self) -> int:
        """How many cells failed."""
        return int(self.content["failed"])

    @property
    def made(self) -> str:
        """When, by which revision, on how many threads of what."""
        return made(self.content["provenance"])

    def _table(self, name: str) -> pl.DataFrame:
        path = self.folder / name
        if not path.is_file():
            raise RunDirectoryError(f"{path}: there is no such table; {self.name} is a run of {self.content['job']}")
        return pl.read_csv(path, schema=SCHEMA, missing_columns="insert")


def keep(run_directory: Path, folder: Path) -> None:
    """Write down what a document keeps of a finished run, or a measurement, under its own name.

    Raises:
        RunDirectoryError: if there is no finished run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if run_directory.suffix == ".json":
        write_atomically(folder / run_directory.name, run_directory.read_text(encoding="utf-8"))
        return
    run = read_runs([run_directory])[0]
    content = {
        "job": run.job,
        "failed": run.failures.height,
        "provenance": {key: run.provenance[key] for key in PROVENANCE if key in run.provenance},
        **{key: run.summary[key] for key in TOLD.get(run.job, ()) if key in run.summary},
    }
    if run.job == "infer" and run.results is not None:
        if run.results["episode"].max() >= LONG - 1:
            content["explained_variance"] = _of_records(run_directory, _explained_variance)
        else:
            content["leading_share_of_visits"] = _of_records(run_directory, _leading_share_of_visits)
    write_atomically(folder / f"{run_directory.name}.json", to_json(content))
    if run.results is not None:
        _write(folder / f"{run_directory.name}.csv", run.results)
    if run.job == "benchmark":
        try:
            windows = read_windows(run_directory)
        except ValueError:  # its episodes are short
            return
        _write(folder / f"{run_directory.name}.windows.csv", windows)


def is_finished(run_directory: Path) -> bool:
    """Whether there is a finished run, or a measurement."""
    return run_directory.is_file() or (run_directory / SUMMARY).is_file()


def _of_records(
    run_directory: Path, measure: Callable[[Record], float | None]
) -> dict[str, list[float | None]]:  # task -> of each seed
    found: dict[str, dict[int, float | None]] = {}
    for path in (run_directory / RECORDS).glob("*.safetensors"):
        record = Record.load(path)
        found.setdefault(record.facts["task"], {})[record.facts["seed"]] = measure(record)
    return {task: [value for _, value in sorted(by_seed.items())] for task, by_seed in sorted(found.items())}


def _explained_variance(record: Record) -> float | None:
    """1 - Σ(r - r̂)²/Σ(r - r̄)² over the model's inference set; None where the model is no longer there."""
    try:
        return explain(record).explained_variance
    except RecordError:
        return None


def _leading_share_of_visits(record: Record) -> float | None:
    """Share of what the features of all labelled steps express of their rewards that lies in the leading directions.

    None where no reward came while acting, as from a teacher, or only zeros.
    """
    features, rewards = record.tensors.get("features"), record.tensors.get("rewards")
    if features is None or rewards is None or not rewards.any():
        return None
    share = leading_share(features, least_squares_weights(features, rewards.unsqueeze(-1)))
    return round(share.item(), 6)  # beyond that it is another number on each machine


def _write(path: Path, table: pl.DataFrame) -> None:
    told = table if table["policy"].count() else table.drop("policy")  # only agents that have several say whose it was
    write_atomically(path, told.with_columns(pl.selectors.float().round(3)).write_csv())


def made(provenance: Mapping[str, Any]) -> str:
    """When something was made, by which revision, on how many threads of which processor."""
    git, threads = provenance.get("git") or {}, provenance.get("threads", "?")
    changed = " with changes" if git.get("changed") else ""
    revision = f"revision {str(git['revision'])[:10]}{changed}" if git.get("revision") else "no known revision"
    threads = f"{threads} thread{'' if threads == 1 else 's'}"
    if provenance.get("processor", "unknown") != "unknown":
        threads += f" of {provenance['processor']}"
    return f"{str(provenance.get('time', '?'))[:10]}, {revision}, {threads}"
