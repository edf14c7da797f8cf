"""Trainings that are killed, or run out of disk, and go on."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.interfaces import JobError
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.training.self_collection import SelfCollection

CPU = torch.device("cpu")
Pretrain = Callable[..., PretrainJob]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint(str(out / "model")).state_dict()


def self_collection() -> SelfCollection:
    return SelfCollection(DMControlEnvironment("walker", "stand", episode_steps=7), every=5, rows=2, hold=3)


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("practised", [False, True])
def test_killed_and_gone_on_with_it_ends_in_the_same_weights(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, practised: bool
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    settings = {"ema_decay": 0.9, "lr_schedule": "cosine", "save_minutes": 1e-9}
    settings |= {"self_collection": self_collection()} if practised else {}
    pretrain(**settings).run(whole, CPU)

    from bfmkit.training.lightning_module import Pretraining

    step = Pretraining.training_step

    def dies_at_23(module: Pretraining, batch: object, index: int) -> None:
        if int(module.update) == 23:
            raise KeyboardInterrupt
        step(module, batch, index)

    monkeypatch.setattr(Pretraining, "training_step", dies_at_23)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(**settings).run(halves, CPU)
    monkeypatch.undo()
    assert not (halves / "model").exists()
    pretrain(**settings).run(halves, CPU)
    expected, found = weights(whole), weights(halves)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_evaluation_before_the_last_saved_state_is_kept(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bfmkit.training.lightning_module import Pretraining

    evaluation = DMControlEnvironment("walker", "stand", episode_steps=3)
    settings = {"updates": 12, "every": 5, "episodes": 1, "save_minutes": 1e-9}
    step = Pretraining.training_step

    def dies_at_5(module: Pretraining, batch: object, index: int) -> None:
        if int(module.update) == 5:
            raise KeyboardInterrupt
        step(module, batch, index)

    monkeypatch.setattr(Pretraining, "training_step", dies_at_5)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(evaluation, **settings).run(tmp_path, CPU)
    monkeypatch.undo()
    pretrain(evaluation, **settings).run(tmp_path, CPU)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows if "oracle_return" in row] == [5, 10, 12]


def test_a_full_disk_keeps_the_state_before(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes are a matter of Unix")
    from bfmkit.training.callbacks import CheckpointCallback

    save, saved = CheckpointCallback.save, []

    def on_a_small_disk(state: CheckpointCallback, trainer: object) -> None:
        if len(saved) < 3:
            saved.append(trainer.lightning_module.update)
            return save(state, trainer)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The file breaks off in the middle, as on a disk that fills up while it is written.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            return save(state, trainer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir(), stopped.mkdir()
    settings = {"updates": 8, "save_minutes": 1e-9}
    pretrain(**settings).run(whole, CPU)
    monkeypatch.setattr(CheckpointCallback, "save", on_a_small_disk)
    with pytest.raises(JobError, match=r"last\.ckpt: the training state cannot be written .*too large.*is kept"):
        pretrain(**settings).run(stopped, CPU)
    monkeypatch.undo()
    state = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["update"] == saved[-1] == 3
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["last.ckpt"]
    pretrain(**settings).run(stopped, CPU)
    expected, found = weights(whole), weights(stopped)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_state_needs_no_room_but_where_it_is_kept(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the folder for temporary files were full.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    pretrain(updates=2, save_minutes=1e-9).run(tmp_path, CPU)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


KILLED = """
import os, signal, sys, pickle
import torch

with open(sys.argv[1], "rb") as file:
    job, out, where, when, threads = pickle.load(file)
torch.set_num_threads(threads)  # the same bits come from the same threads only

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if where == "update":
    from bfmkit.training.lightning_module import Pretraining as owner
    name = "_losses"
else:
    from bfmkit.training.callbacks import CheckpointCallback as owner
    name = "save"
method = getattr(owner, name)

def dying(self, argument):
    module = self if where == "update" else argument.lightning_module
    if int(module.update) == when:
        if where == "state":
            (self._file.with_suffix(".tmp")).write_bytes(b"half of a state")
        if where == "renamed":
            method(self, argument)
        die()
    return method(self, argument)

setattr(owner, name, dying)
job.run(out, torch.device("cpu"))
"""


def test_killed_again_and_again_it_ends_in_the_same_weights(pretrain: Pretrain, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    made = pretrain(updates=30, ema_decay=0.9, self_collection=self_collection(), save_minutes=1e-9, updates_per_step=4)
    # In the middle of a group of updates; while the state is written; when the last one has just been.
    for where, when in (("update", 13), ("state", 20), ("renamed", 30)):
        (tmp_path / "plan").write_bytes(pickle.dumps((made, killed, where, when, torch.get_num_threads())))
        ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "plan")], capture_output=True, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert not (killed / "model").exists()
    made.run(whole, CPU)
    made.run(killed, CPU)
    expected, found = weights(whole), weights(killed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert rows(killed) == rows(whole)
