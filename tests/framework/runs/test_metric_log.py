"""Loggers offline: nothing is sent anywhere, and all that would be sent is in the run directory."""

from __future__ import annotations

import csv
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bfmkit.components.agents.random import RandomAgent
from bfmkit.jobs.infer import InferJob
from bfmkit.runs.metric_log import LoggerError, MetricLog, require_loggers
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.models import BallEnvironment, LinearBFM

# Their own code and what that imports warn on its own account.
pytestmark = pytest.mark.filterwarnings("ignore")


def records(file: Path) -> Iterator[bytes]:
    """The records of W&B's log: LevelDB's format, blocks of 32 KiB, after 7 bytes of its own."""
    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several pieces
            yield whole
            whole = b""


def logged(out: Path) -> dict[str, list[float]]:
    """The history in the one file that W&B left."""
    from wandb.proto import wandb_internal_pb2

    (file,) = out.glob("wandb/offline-run-*/run-*.wandb")
    found: dict[str, list[float]] = {}
    for data in records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            found.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
    return found


def wait_for(out: Path, key: str, count: int) -> list[float]:
    """W&B writes from a process of its own, which may have something left to do."""
    until = time.monotonic() + 60
    while len(logged(out).get(key, ())) < count and time.monotonic() < until:
        time.sleep(0.1)
    return logged(out)[key]


def test_a_job_logs_to_wandb_and_a_resumed_one_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    job = InferJob(LinearBFM(), BallEnvironment(), RandomAgent(), episodes=3)
    job.loggers = ["wandb", "csv"]
    job.run(tmp_path, torch.device("cpu"))
    returns = [row["return"] for row in read_metrics(tmp_path)]
    assert wait_for(tmp_path, "return/task_0/seed_0", 3) == pytest.approx(returns)
    assert wandb.run is None
    assert not (tmp_path / "tensorboard").exists()
    with (tmp_path / "csv" / "version_0" / "metrics.csv").open() as file:
        logged = [float(row["return/task_0/seed_0"]) for row in csv.DictReader(file) if row["return/task_0/seed_0"]]
    assert logged == pytest.approx(returns)
    name = (tmp_path / "wandb.id").read_text()
    with MetricLog(tmp_path, ["wandb"]) as log:
        log.log_metrics({"loss": 1.0}, 0)
        assert wandb.run.id == name


def test_mlflow_holds_recipe_and_metrics_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "recipe.yaml").write_text("type: infer\nagent: {type: random}\n")
    for step, value in enumerate((3.0, 2.0)):
        with MetricLog(tmp_path, ["mlflow"]) as log:
            log.log_metrics({"loss": value}, step)
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = (tmp_path / "mlflow.id").read_text()
    assert [(each.step, each.value) for each in client.get_metric_history(run, "loss")] == [(0, 3.0), (1, 2.0)]
    assert client.get_run(run).data.params == {"type": "infer", "agent/type": "random"}
    assert client.get_run(run).info.status == "FINISHED"


def test_loggers_are_known_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    require_loggers(["tensorboard", "csv"])
    with pytest.raises(LoggerError, match='no logger "wandbb"; did you mean "wandb"'):
        require_loggers(["wandbb"])
    monkeypatch.setattr("bfmkit.runs.metric_log.find_spec", lambda name: None)
    with pytest.raises(LoggerError, match=r"logger mlflow: not installed; pip install 'bfmkit\[mlflow\]'"):
        require_loggers(["csv", "mlflow"])
