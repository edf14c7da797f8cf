from __future__ import annotations

import numpy as np
import polars as pl

from bfmkit.relative import complete_runs, matrix, scores, with_relative


def table() -> pl.DataFrame:
    rows = [
        {"recipe": recipe, "task": task, "seed": seed, "episode": episode, "return": float(10 * seed + episode),
         "steps": 1, "labels": episode, "oracle_return": oracle}
        for recipe, task, oracle in (("a", "walk", 4.0), ("a", "run", 0.0), ("b", "walk", None))
        for seed in (2, 1) for episode in range(4) if not (recipe == "b" and seed == 1 and episode == 3)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"oracle_return": pl.Float64})


def test_runs_that_stopped_early_are_left_out() -> None:
    left = complete_runs(table())
    assert len(left) == 8 + 8 + 4
    assert left.columns == table().columns


def test_a_matrix_has_a_row_a_seed_in_order() -> None:
    np.testing.assert_array_equal(matrix(table(), "a", "walk", "return"), [[10, 11, 12, 13], [20, 21, 22, 23]])
    assert matrix(table(), "a", "swim", "return").size == 0


def test_relative_is_to_what_an_oracle_got_that_got_something() -> None:
    relative = with_relative(table())
    assert relative["task"].unique().to_list() == ["walk"]
    assert relative.filter(pl.col("seed") == 1)["relative"].to_list() == [2.5, 2.75, 3.0, 3.25]


def test_a_score_is_that_of_the_later_episodes() -> None:
    found = scores(table())
    assert list(found) == ["a"] and list(found["a"]) == ["walk"]
    np.testing.assert_allclose(found["a"]["walk"], [12.5 / 4, 22.5 / 4])


def test_an_oracle_that_changes_is_taken_in_the_same_half() -> None:
    changing = table().filter(pl.col("task") == "walk", pl.col("recipe") == "a")
    changing = changing.with_columns((pl.col("episode") + 1.0).alias("oracle_return"))
    np.testing.assert_allclose(scores(changing)["a"]["walk"], [12.5 / 3.5, 22.5 / 3.5])
