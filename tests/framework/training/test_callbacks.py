"""Lightning's own callbacks, clipping and loggers, as a recipe of a pretraining asks for them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import bfmkit
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.testing.models import ball_spec
from bfmkit.utils.errors import BfmkitError


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    spec = ball_spec(4, 20)
    claim(tmp_path / "data", spec)
    rows = empty_transitions(spec, 40)
    torch.manual_seed(0)
    for key in ("observation", "action", ("next", "observation")):
        rows[key].uniform_(-1, 1)
    ShardWriter(tmp_path / "data", "shard-000", spec, 40).append(rows)
    networks = {"type": "two_stream", "width": 8, "encoder_width": 8}
    return {
        "type": "pretrain",
        "dataset": {"type": "memory_map", "path": str(tmp_path / "data")},
        "objective": {
            "type": "forward_backward",
            "bfm": {"type": "forward_backward", "dim": 2, "networks": networks},
        },
        "updates": 20, "batch_size": 8, "inference_set": 10,
        "evaluation": {"every": 4, "health_every": 4},
    }  # fmt: skip


def run(folder: Path, recipe: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    (folder / "mine.yaml").write_text(json.dumps(recipe))
    made = bfmkit.run(folder / "mine.yaml", out=folder / "out")
    return made.out, made.summary


def test_early_stopping_ends_a_training_for_good(recipe: dict[str, Any], tmp_path: Path) -> None:
    stopping = {"monitor": "health/effective_rank", "mode": "max", "min_delta": 1e9, "patience": 2}
    recipe["callbacks"] = [{"class_path": "EarlyStopping", "init_args": stopping}]
    out, summary = run(tmp_path, recipe)
    assert summary["updates"] == 12
    state = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    assert (state["update"], state["stopped"]) == (12, True)
    # Killed before the model was written, it does not begin to train again.
    shutil.rmtree(out / "model")
    assert run(tmp_path, recipe)[1]["updates"] == 12


def test_the_best_states_are_kept(recipe: dict[str, Any], tmp_path: Path) -> None:
    best = {"monitor": "loss_measure", "save_top_k": 2, "filename": "{epoch}"}
    recipe["callbacks"] = [{"class_path": "ModelCheckpoint", "init_args": best}]
    out, summary = run(tmp_path, recipe)
    assert summary["updates"] == 20
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "epoch=0.ckpt",
        "epoch=1.ckpt",
        "last.ckpt",
    ]


@pytest.mark.parametrize(
    ("trainer", "updates"),
    [({"max_time": {"seconds": 1}}, 100_000), ({"limit_train_batches": 3}, 20), ({"fast_dev_run": True}, 20)],
    ids=str,
)
def test_other_arguments_of_the_trainer_hold(
    recipe: dict[str, Any], tmp_path: Path, trainer: dict, updates: int
) -> None:
    recipe |= {"trainer": trainer, "updates": updates}
    assert 0 < run(tmp_path, recipe)[1]["updates"] < updates


def test_metrics_go_to_the_loggers_that_are_named(recipe: dict[str, Any], tmp_path: Path) -> None:
    own = {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path / "own"), "name": "mine"}}
    recipe |= {"logger": ["tensorboard", "csv", own], "callbacks": [{"class_path": "LearningRateMonitor"}]}
    out, _ = run(tmp_path, recipe)
    assert list((out / "tensorboard").glob("events*"))
    for file in (out / "csv" / "version_0" / "metrics.csv", tmp_path / "own" / "mine" / "version_0" / "metrics.csv"):
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
        losses = [row for row in rows if row["loss_measure"]]
        assert [int(row["step"]) for row in losses] == [0]
        assert {int(row["step"]) for row in rows if row.get("health/effective_rank")} == {4, 8, 12, 16, 20}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"trainer": {"devices": 2}}, "trainer.devices is set by the recipe"),
        ({"callbacks": [{"class_path": "NoSuch"}]}, "has no class NoSuch"),
        ({"callbacks": [{"class": "Timer"}]}, "class_path"),
        ({"logger": ["tensorbord"]}, 'no logger "tensorbord"; did you mean "tensorboard"'),
    ],
    ids=str,
)
def test_mistakes_are_found_before_anything_runs(recipe: dict, tmp_path: Path, wrong: dict, said: str) -> None:
    with pytest.raises(BfmkitError, match=said):
        run(tmp_path, recipe | wrong)
    assert not (tmp_path / "out").exists()
