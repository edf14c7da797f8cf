"""Results of a run as one tidy table, a row an episode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from bfmkit.evaluation.cells import CELLS, FLOORS, ORACLES, Cell, read_cells, reference_label
from bfmkit.runs.run_directory import (
    FLOOR_METRICS,
    ORACLE_METRICS,
    PROVENANCE,
    RECIPE,
    RunDirectoryError,
    read_metrics,
    read_recipe,
)
from bfmkit.utils.files import write_atomically

PARQUET, CSV = "results.parquet", "results.csv"

SCHEMA: dict[str, Any] = {
    "recipe": pl.String,
    "task": pl.String,
    "seed": pl.Int64,
    "episode": pl.Int64,
    "return": pl.Float64,
    "steps": pl.Int64,
    "labels": pl.Int64,
    "oracle_return": pl.Float64,
    "floor_return": pl.Float64,
    "policy": pl.String,
}

_RUN = ["task", "seed", "episode"]


def read_results(run_directory: Path | str) -> pl.DataFrame:
    """Episodes of a benchmark or inference run, finished or not, a row each.

    Columns: ``recipe``, ``task``, ``seed``, ``episode`` (from 0), ``return``, ``steps``, ``labels`` (rewards that the
    belief has taken in since the start), ``oracle_return`` and ``floor_return`` (of the same task, seed and episode;
    null where there is none), and ``policy`` (whose the episode was; null for agents that have but one). Rows go by
    recipe, in the benchmark's order, then by task, seed and episode. Runs that stopped early have the episodes that
    they came through; :func:`read_failures` names them.

    Raises:
        ValueError: if the directory holds no run, or one of another job.
    """
    out = Path(run_directory)
    tree = _recipe(out)
    job = tree.get("type")
    if job == "benchmark":
        return benchmark_table(out, recipe_names(tree))
    if job == "infer":
        return _infer(out)
    raise ValueError(f'{out}: holds a run of job "{job}"; there are results in those of benchmark and infer')


def read_windows(run_directory: Path | str) -> pl.DataFrame:
    """The windows of long episodes of a benchmark, as :func:`read_results` has episodes: ``episode`` counts windows,
    ``oracle_return``, ``floor_return`` and ``policy`` are null, and the oracle of the first recipe is one more,
    ``oracle``.

    Raises:
        ValueError: if the directory holds no benchmark, or one of short episodes.
    """
    out = Path(run_directory)
    tree = _recipe(out)
    if tree.get("type") != "benchmark":
        raise ValueError(f"{out}: windows are read of benchmarks, and this is a run of {tree.get('type')}")
    cells = sorted_cells(out, recipe_names(tree))
    oracle = cells[0].oracle if cells else None
    oracles = [replace(cell, recipe="oracle") for cell in read_cells(out / ORACLES) if cell.recipe == oracle]
    rows = []
    for cell in (*cells, *sorted(oracles, key=lambda cell: (cell.task, cell.seed))):
        windows = [window for episode in cell.episodes for window in episode.get("windows", [])]
        head = {
            "recipe": cell.recipe,
            "task": cell.task,
            "seed": cell.seed,
            "oracle_return": None,
            "floor_return": None,
            "policy": None,
        }
        rows += [
            head | {"episode": number} | {key: window[key] for key in ("return", "steps", "labels")}
            for number, window in enumerate(windows)
        ]
    if not rows:
        raise ValueError(f"{out}: its episodes are too short to have windows")
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def read_failures(run_directory: Path | str) -> pl.DataFrame:
    """What went wrong in a run: ``recipe``, ``task``, ``seed``, ``error``, a row a failed cell of a benchmark.

    Failed cells of oracles and floors come first; their ``recipe`` is ``reference NAME``. An inference
    run says all of it in ``error``, and ``task`` and ``seed`` are null.

    Raises:
        ValueError: as :func:`read_results`.
    """
    out = Path(run_directory)
    schema = {name: SCHEMA[name] for name in ("recipe", "task", "seed")} | {"error": pl.String}
    if _recipe(out).get("type") == "benchmark":
        references = [cell for folder in (ORACLES, FLOORS) for cell in read_cells(out / folder)]
        references.sort(key=lambda cell: (cell.recipe, cell.task, cell.seed))
        cells = [
            *(replace(cell, recipe=reference_label(cell.recipe)) for cell in references),
            *sorted_cells(out, recipe_names(_recipe(out))),
        ]
        failed = [cell for cell in cells if cell.status == "failed"]
        rows: list[dict[str, Any]] = [
            {"recipe": cell.recipe, "task": cell.task, "seed": cell.seed, "error": cell.error} for cell in failed
        ]
    else:
        summary = out / "summary.json"
        stopped = json.loads(summary.read_text(encoding="utf-8")).get("stopped", []) if summary.is_file() else []
        rows = [{"recipe": _infer_name(out), "task": None, "seed": None, "error": error} for error in stopped]
    return pl.DataFrame(rows, schema=schema, orient="row")


def write_results(out: Path, table: pl.DataFrame) -> None:
    """Write ``results.parquet`` and ``results.csv``."""
    temporary = out / f".{PARQUET}.tmp"
    table.write_parquet(temporary)
    temporary.replace(out / PARQUET)
    write_atomically(out / CSV, table.write_csv())


def recipe_names(tree: dict[str, Any]) -> list[str]:
    """Names of a benchmark's recipes, in its order."""
    names = []
    for entry in tree["recipes"]:
        given = {"recipe": entry} if isinstance(entry, str) else entry
        names.append(given.get("name") or Path(given["recipe"]).stem)
    return names


def benchmark_table(out: Path, names: Sequence[str]) -> pl.DataFrame:
    """Episodes of a benchmark whose recipes have these names, as :func:`read_results`."""
    oracle, floor = (_returns(out / folder) for folder in (ORACLES, FLOORS))
    rows = [
        {
            "recipe": cell.recipe,
            "task": cell.task,
            "seed": cell.seed,
            "episode": number,
            **{key: episode[key] for key in ("return", "steps", "labels")},
            "oracle_return": oracle.get((cell.oracle or "", cell.task, cell.seed, number)),
            "floor_return": floor.get((cell.floor or "", cell.task, cell.seed, number)),
            "policy": episode.get("policy"),
        }
        for cell in sorted_cells(out, names)
        for number, episode in enumerate(cell.episodes)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _returns(folder: Path) -> dict[tuple[str, str, int, int], float]:
    """Name, task, seed, episode -> return, of reference agents."""
    return {
        (cell.recipe, cell.task, cell.seed, number): episode["return"]
        for cell in read_cells(folder)
        for number, episode in enumerate(cell.episodes)
    }


def sorted_cells(out: Path, names: Sequence[str]) -> list[Cell]:
    """Cells on disk, by recipe in the order of ``names``, then by task and seed."""
    order = {name: place for place, name in enumerate(names)}
    cells = [cell for cell in read_cells(out / CELLS) if cell.recipe in order]
    return sorted(cells, key=lambda cell: (order[cell.recipe], cell.task, cell.seed))


def _recipe(out: Path) -> dict[str, Any]:
    try:
        return read_recipe(out / RECIPE)
    except RunDirectoryError as error:
        raise ValueError(f"{out}: holds no run ({error})") from error


def _infer(out: Path) -> pl.DataFrame:
    table = _episodes(read_metrics(out))
    for name, column in ((ORACLE_METRICS, "oracle_return"), (FLOOR_METRICS, "floor_return")):
        reference = _episodes(read_metrics(out, name)).select(*_RUN, pl.col("return").alias(column))
        table = table.join(reference, on=_RUN, how="left")
    table = table.with_columns(pl.lit(_infer_name(out)).alias("recipe"))
    return table.select(*SCHEMA).sort("recipe", *_RUN)


def _episodes(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """One row an episode, the windows of a long one taken together."""
    schema = {name: kind for name, kind in SCHEMA.items() if name not in ("recipe", "oracle_return", "floor_return")}
    table = pl.DataFrame(list(_plain(rows, schema)), schema=schema, orient="row")
    return table.group_by(_RUN, maintain_order=True).agg(
        pl.col("return", "steps").sum(), pl.col("labels").max(), pl.col("policy").last()
    )


def _plain(rows: Iterable[dict[str, Any]], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {"policy": None} | {name: row[name] for name in schema.keys() & row.keys()}


def _infer_name(out: Path) -> str:
    """The name of the recipe that was run, as its provenance says; the directory's own name if it does not."""
    try:
        source = json.loads((out / PROVENANCE).read_text(encoding="utf-8")).get("recipe")
    except (OSError, ValueError):
        source = None
    return Path(source).stem if source else out.name
