"""Returns relative to an oracle, out of a tidy table of results."""

from __future__ import annotations

import numpy as np
import polars as pl

from bfmkit.returns import second_half

RUN = ["recipe", "task", "seed"]
SMALLEST_REFERENCE = 1e-9


def complete_runs(
    table: pl.DataFrame,  # as read_results gives it
) -> pl.DataFrame:
    """The rows of runs that came through: with as many episodes as the longest of their recipe and task."""
    counted = table.with_columns(pl.len().over(RUN).alias("count"))
    return counted.filter(pl.col("count") == pl.col("count").max().over("recipe", "task")).drop("count")


def with_relative(
    table: pl.DataFrame,  # as read_results gives it
) -> pl.DataFrame:
    """The rows that have an oracle to be measured by, with ``relative``: the return over the oracle's mean return with
    that seed, so that one poor episode of the oracle's does not blow up a ratio.
    """
    known = table.filter(pl.col("oracle_return").is_not_null())
    reference = pl.col("oracle_return").mean().over(RUN)
    return known.filter(reference.abs() > SMALLEST_REFERENCE).with_columns(
        (pl.col("return") / reference).alias("relative")
    )


def matrix(
    table: pl.DataFrame,
    recipe: str,
    task: str,
    column: str,
) -> np.ndarray:  # (seeds, episodes)
    """A column of one recipe and task, of runs that came through: a row a seed, in their order."""
    part = table.filter(pl.col("recipe") == recipe, pl.col("task") == task).sort("seed", "episode")
    runs = part.group_by("seed", maintain_order=True).agg(pl.col(column))
    rows = [np.asarray(values, dtype=float) for values in runs[column].to_list()]
    return np.stack(rows) if rows else np.zeros((0, 0))


def scores(
    table: pl.DataFrame,  # as read_results gives it
) -> dict[str, dict[str, np.ndarray]]:  # recipe -> task -> (seeds,)
    """The mean return of the second half of the episodes over the oracle's in the same half, of each run that came
    through. Recipes and tasks without an oracle are left out.
    """
    known = complete_runs(table).filter(pl.col("oracle_return").is_not_null().all().over(RUN))
    found: dict[str, dict[str, np.ndarray]] = {}
    for recipe, task in known.select("recipe", "task").unique(maintain_order=True).iter_rows():
        reference = second_half(matrix(known, recipe, task, "oracle_return")).mean(axis=1)
        returns = second_half(matrix(known, recipe, task, "return")).mean(axis=1)
        measured = np.abs(reference) > SMALLEST_REFERENCE
        if measured.any():
            found.setdefault(recipe, {})[task] = returns[measured] / reference[measured]
    return found
