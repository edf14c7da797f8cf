from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bfmkit.components.bfms.checkpoint import Checkpoint
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import JobError, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.models import BallEnvironment
from bfmkit.training.launcher import Place, first_place
from bfmkit.training.self_collection import SelfCollection

CPU = torch.device("cpu")
OBJECTIVE = {
    "type": "forward_backward",
    "bfm": {"type": "forward_backward", "dim": 4, "networks": {"type": "two_stream", "width": 16, "encoder_width": 16}},
}


def job(folder: Path, **settings: object) -> PretrainJob:
    environment = BallEnvironment(dim=3, episode_steps=5)
    if not (folder / "data").exists():
        claim(folder / "data", environment.spec)
        rows = empty_transitions(environment.spec, 40)
        torch.manual_seed(0)
        for key in ("observation", "action", ("next", "observation")):
            rows[key].uniform_(-1, 1)
        ShardWriter(folder / "data", "shard-000", environment.spec, 40).append(rows)
    return PretrainJob(
        MemoryMapDataset(folder / "data"),
        defer(Objective, OBJECTIVE),
        batch_size=8,
        evaluation=environment,
        evaluation_episodes=1,
        self_collection=SelfCollection(environment, every=4, rows=2, hold=2),
        **settings,
    )


def run_script(folder: Path, text: str, *plan: object) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(text)
    (folder / "plan").write_bytes(pickle.dumps(plan))
    words = [sys.executable, str(folder / "script.py"), str(folder / "plan")]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


DYING = """
import os, pickle, signal, sys
import torch
from bfmkit.training.callbacks import CheckpointCallback

if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(sys.argv[1], "rb") as file:
        job, out = pickle.load(file)
    save = CheckpointCallback.save

    def dying(self, trainer):
        save(self, trainer)
        if int(trainer.lightning_module.update) >= 40:
            os.kill(os.getpid(), signal.SIGKILL)

    CheckpointCallback.save = dying
    job.run(out, torch.device("cpu"))
"""


def test_two_processes_train_one_model_and_go_on_after_a_kill(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    settings = {"updates": 46, "evaluate_every": 20, "devices": 2, "save_minutes": 1e-9}
    before = torch.get_num_threads()
    summary = job(tmp_path, **settings).run(whole, CPU)
    assert torch.get_num_threads() == before
    assert summary["updates"] == 46
    assert summary["practised"] == 11 * 10
    assert [row["update"] for row in read_metrics(whole) if "oracle_return" in row] == [20, 40, 46]
    state = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(state["generators"]) == 2
    assert not torch.equal(*(each["torch"] for each in state["generators"]))

    ended = run_script(tmp_path, DYING, job(tmp_path, **settings), killed)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with pytest.raises(JobError, match="begun by 2 processes"):
        job(tmp_path, **{**settings, "devices": 1}).run(killed, CPU)
    job(tmp_path, **settings).run(killed, CPU)
    expected, found = (Checkpoint(str(out / "model")).model.state_dict() for out in (whole, killed))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


FAILING = """
import pickle, sys
import torch
from bfmkit.training import launcher

if __name__ == "__main__":
    torch.set_num_threads(1)
    launcher.GRACE_SECONDS = 1.0
    with open(sys.argv[1], "rb") as file:
        job, out = pickle.load(file)
    # The other process opens the data anew, and does not find them.
    job.dataset._stored._folders = (out / "nowhere",)
    job.run(out, torch.device("cpu"))
"""


def test_a_process_that_fails_before_the_others_meet_it_ends_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ended = run_script(tmp_path, FAILING, job(tmp_path, updates=5, devices=2), tmp_path / "out")
    assert ended.returncode == 1
    assert "one of the processes failed" in ended.stderr
    assert "nowhere" in ended.stderr


def test_several_machines_find_each_other_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(JobError, match="MASTER_ADDR"):
        first_place(devices=4, nodes=2)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "12345")
    monkeypatch.setenv("NODE_RANK", "1")
    place = first_place(devices=4, nodes=2)
    assert place == Place(4, 2, 1, 0, "10.0.0.1", 12345)
    assert (place.rank, place.processes) == (4, 8)
    monkeypatch.setenv("NODE_RANK", "2")
    with pytest.raises(JobError, match="between 0 and 1"):
        first_place(devices=4, nodes=2)


def test_each_process_of_a_machine_has_a_device_of_its_own() -> None:
    place = Place(devices=4, local=3)
    assert place.device(torch.device("cuda:1")) == torch.device("cuda:4")
    assert place.device(torch.device("cuda")) == torch.device("cuda:3")
    assert place.device(CPU) == CPU
    assert first_place(1, 1).strategy(CPU) == "auto"
    assert os.environ.get("LOCAL_RANK") is None
