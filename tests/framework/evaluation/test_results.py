from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.evaluation.cells import CELLS, FLOORS, ORACLES, Cell
from bfmkit.evaluation.results import CSV, PARQUET, SCHEMA, read_failures, read_results, read_windows, write_results
from bfmkit.jobs.infer import InferJob
from bfmkit.runs.run_directory import FLOOR_METRICS, ORACLE_METRICS, read_metrics
from bfmkit.testing.models import BallEnvironment, LinearBFM


def episode(value: float, labels: int) -> dict:
    return {"return": value, "steps": 20, "labels": labels}


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    recipe = "type: benchmark\nrecipes:\n- second\n- {name: first, recipe: some/file.yaml}\n- some/third.yaml\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    cells = [
        Cell("first", "walk", 10, episodes=[episode(1.0, 20)], oracle="oracle", floor="floor"),
        Cell("first", "walk", 9, episodes=[episode(2.0, 20), episode(3.0, 40)], oracle="oracle", floor="floor"),
        Cell("third", "2 * up", 0, "failed", "it fell", [episode(0.5, 20) | {"policy": "taken back"}], oracle=None),
        Cell("second", "walk", 9, "failed", "it broke", oracle="oracle"),
        Cell("no_longer_asked_for", "walk", 9, episodes=[episode(9.0, 20)]),
    ]
    for cell in cells:
        cell.write(tmp_path / CELLS)
    Cell("oracle", "walk", 9, episodes=[episode(4.0, 0)]).write(tmp_path / ORACLES)
    Cell("oracle", "walk", 10, "failed", "it burst").write(tmp_path / ORACLES)
    Cell("floor", "walk", 10, episodes=[episode(0.5, 0)]).write(tmp_path / FLOORS)
    return tmp_path


def test_a_benchmark_is_one_tidy_table_in_the_order_of_its_recipes(benchmark: Path) -> None:
    table = read_results(benchmark)
    assert dict(table.schema) == SCHEMA
    assert table.rows() == [
        ("first", "walk", 9, 0, 2.0, 20, 20, 4.0, None, None),
        ("first", "walk", 9, 1, 3.0, 20, 40, None, None, None),
        ("first", "walk", 10, 0, 1.0, 20, 20, None, 0.5, None),
        ("third", "2 * up", 0, 0, 0.5, 20, 20, None, None, "taken back"),
    ]
    assert read_failures(benchmark).rows() == [
        ("reference oracle", "walk", 10, "it burst"),
        ("second", "walk", 9, "it broke"),
        ("third", "2 * up", 0, "it fell"),
    ]


def test_written_tables_are_the_same_table(benchmark: Path) -> None:
    table = read_results(benchmark)
    write_results(benchmark, table)
    assert pl.read_parquet(benchmark / PARQUET).equals(table)
    assert pl.read_csv(benchmark / CSV, schema=SCHEMA).equals(table)
    assert not list(benchmark.glob(".*.tmp"))


def test_a_benchmark_that_has_nothing_yet_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("type: benchmark\nrecipes: [opti_bfm]\n")
    assert read_results(tmp_path).is_empty()
    assert dict(read_results(tmp_path).schema) == SCHEMA
    assert read_failures(tmp_path).is_empty()


def test_an_inference_run_is_such_a_table_too(tmp_path: Path) -> None:
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=8)))
    job = InferJob(LinearBFM(), BallEnvironment(), agent, episodes=3, seeds=2, oracle_episodes=2)
    job.run(tmp_path, torch.device("cpu"))
    (tmp_path / "recipe.yaml").write_text("type: infer\n")
    (tmp_path / "provenance.json").write_text(json.dumps({"recipe": "recipes/infer/opti_bfm.yaml"}))
    table = read_results(tmp_path)
    assert dict(table.schema) == SCHEMA
    oracle, floor = (
        {(row["seed"], row["episode"]): row["return"] for row in read_metrics(tmp_path, name)}
        for name in (ORACLE_METRICS, FLOOR_METRICS)
    )
    rows = sorted(read_metrics(tmp_path), key=lambda row: (row["seed"], row["episode"]))
    references = [(row["seed"], row["episode"]) for row in rows]
    wanted = [
        {**row, "recipe": "opti_bfm", "oracle_return": oracle.get(key), "floor_return": floor[key], "policy": None}
        for key, row in zip(references, rows, strict=True)
    ]
    assert table.rows() == [tuple(row[name] for name in SCHEMA) for row in wanted]
    assert [row["oracle_return"] is None for row in wanted] == [False, False, True] * 2
    assert read_failures(tmp_path).is_empty()


def test_the_windows_of_a_long_episode_are_one_episode(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("type: infer\n")
    head = {"task": "t", "seed": 0, "episode": 0, "policy": "improved"}
    rows = [head | {"return": 1.5, "steps": 1000, "labels": 900, "window": 0},
            head | {"return": 2.0, "steps": 500, "labels": 1300, "window": 1}]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "summary.json").write_text('{"stopped": ["task t, seed 3: it fell"]}')
    assert read_results(tmp_path).rows() == [(tmp_path.name, "t", 0, 0, 3.5, 1500, 1300, None, None, "improved")]
    assert read_failures(tmp_path).rows() == [(tmp_path.name, None, None, "task t, seed 3: it fell")]


def test_other_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        read_results(tmp_path)
    (tmp_path / "recipe.yaml").write_text("type: collect\n")
    with pytest.raises(ValueError, match='"collect"'):
        read_results(tmp_path)


def test_windows_of_long_episodes_stand_beside_the_oracles(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("type: benchmark\nrecipes: [ours]\n")
    for folder, recipe, first in ((CELLS, "ours", 1.0), (ORACLES, "best", 2.0)):
        windows = [{"return": first + number, "steps": 1000, "labels": 0, "window": number} for number in range(3)]
        episode = {"return": 9.0, "steps": 3000, "labels": 0, "windows": windows}
        oracle = "best" if folder == CELLS else None
        Cell(recipe, "walk", 0, episodes=[episode], oracle=oracle).write(tmp_path / folder)
    table = read_windows(tmp_path)
    assert table["recipe"].to_list() == ["ours"] * 3 + ["oracle"] * 3
    assert table["return"].to_list() == [1.0, 2.0, 3.0, 2.0, 3.0, 4.0]
    assert table["episode"].to_list() == [0, 1, 2] * 2
    with pytest.raises(ValueError, match="no run"):
        read_windows(tmp_path / "lost")
