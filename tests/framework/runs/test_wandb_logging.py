"""Offline: nothing is sent anywhere, and all that would be sent is in the run directory."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

wandb = pytest.importorskip("wandb", reason="the extra `wandb` is not installed")

from bfmkit.components.agents.random import RandomAgent  # noqa: E402
from bfmkit.jobs.infer import InferJob  # noqa: E402
from bfmkit.runs.run_directory import read_metrics  # noqa: E402
from bfmkit.runs.wandb_logging import wandb_session  # noqa: E402
from bfmkit.testing.models import BallEnvironment, LinearBFM  # noqa: E402

# Its own code and what that imports warn on their own account.
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


def test_what_goes_to_tensorboard_goes_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    job = InferJob(LinearBFM(), BallEnvironment(), RandomAgent(), episodes=3)
    with wandb_session(tmp_path, {"episodes": 3}):
        job.run(tmp_path, torch.device("cpu"))
    returns = [row["return"] for row in read_metrics(tmp_path)]
    assert wait_for(tmp_path, "return/task_0/seed_0", 3) == pytest.approx(returns)
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert wandb.run is None


def test_so_does_what_lightning_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    with wandb_session(tmp_path, {}):
        # As the job `pretrain` makes it.
        log = TensorBoardLogger(tmp_path, name=None, version="tensorboard")
        for step, loss in enumerate((3.0, 2.0)):
            log.log_metrics({"loss": loss}, step=step)
        log.finalize("success")
    assert wait_for(tmp_path, "loss", 2) == [3.0, 2.0]
    # The same directory again is the same run.
    name = (tmp_path / "wandb.id").read_text()
    with wandb_session(tmp_path, {}):
        assert wandb.run.id == name
