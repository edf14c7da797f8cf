from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import KubeflowEnvironment, LightningEnvironment
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import JobError, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.models import BallEnvironment
from bfmkit.training.cluster import (
    RANKS,
    cluster_arguments,
    cluster_environment,
    is_first_process,
    is_launched,
    shared_machine,
)
from bfmkit.training.pretraining_options import EvaluationOptions, HardwareOptions
from bfmkit.training.self_collection import SelfCollection

CPU = torch.device("cpu")
SLURM = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "77", "SLURM_PROCID": "1"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
KUBERNETES = {"KUBERNETES_PORT": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1"}
OBJECTIVE = {
    "type": "forward_backward",
    "bfm": {"type": "forward_backward", "dim": 4, "networks": {"type": "two_stream", "width": 16, "encoder_width": 16}},
    "actor_every": 2,
}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RANKS, *SLURM, *TORCHRUN, *KUBERNETES):
        monkeypatch.delenv(name, raising=False)


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
        evaluation=EvaluationOptions(environment, every=20, episodes=1),
        self_collection=SelfCollection(environment, every=4, rows=2, hold=2),
        **settings,
    )


SCRIPT = """
import os, pickle, signal, sys
import torch
from bfmkit.training.callbacks import CheckpointCallback

if __name__ == "__main__":
    torch.set_num_threads(1)
    with open(sys.argv[1], "rb") as file:
        job, out, way = pickle.load(file)
    save = CheckpointCallback.save

    def dying(self, trainer):
        save(self, trainer)
        if int(trainer.lightning_module.update) >= 24:
            os.kill(os.getpid(), signal.SIGKILL)

    if way == "dies":
        CheckpointCallback.save = dying
    if way == "breaks" and os.environ.get("LOCAL_RANK"):
        raise RuntimeError("the data are nowhere")
    summary = job.run(out, torch.device("cpu"))
    if summary:
        print(torch.get_num_threads(), [name for name in ("LOCAL_RANK", "WORLD_SIZE") if name in os.environ])
"""


def run_script(folder: Path, plan: tuple, *launcher: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(SCRIPT)
    (folder / "plan").write_bytes(pickle.dumps(plan))
    words = [sys.executable, *launcher, str(folder / "script.py"), str(folder / "plan")]
    settings = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "timeout": 300}
    return subprocess.run(words, capture_output=True, text=True, **settings)


def test_two_processes_train_one_model_whoever_starts_them_and_go_on_after_a_kill(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    settings = {"updates": 26, "hardware": HardwareOptions(devices=2), "save_minutes": 1e-9}
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={find_free_network_port()}")
    ended = run_script(tmp_path, (job(tmp_path, **settings), whole, "works"), *torchrun)
    assert ended.returncode == 0, ended.stderr
    assert [row["update"] for row in read_metrics(whole) if "oracle_return" in row] == [20, 26]
    state = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(state["generators"]) == 2
    assert not torch.equal(*(each["torch"] for each in state["generators"]))

    # Lightning's own launcher.
    ended = run_script(tmp_path, (job(tmp_path, **settings), killed, "dies"))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with pytest.raises(JobError, match="begun by 2 processes"):
        job(tmp_path, **{**settings, "hardware": HardwareOptions()}).run(killed, CPU)
    ended = run_script(tmp_path, (job(tmp_path, **settings), killed, "works"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "1 []\n", "threads and variables are as they were before"
    expected, found = (checkpoint(str(out / "model")).state_dict() for out in (whole, killed))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_process_that_fails_before_the_others_meet_it_ends_them(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ended = run_script(
        tmp_path, (job(tmp_path, updates=5, hardware=HardwareOptions(devices=2)), tmp_path / "out", "breaks")
    )
    assert ended.returncode == -signal.SIGKILL
    assert "nowhere" in ended.stderr


def test_lightnings_processes_join_the_run_of_the_command_line(tmp_path: Path) -> None:
    job(tmp_path, updates=3)
    recipe = {
        "type": "pretrain", "dataset": {"type": "memory_map", "path": "data"}, "objective": OBJECTIVE,
        "updates": 3, "batch_size": 8, "hardware": {"devices": 2}, "logger": ["csv"],
    }  # fmt: skip
    (tmp_path / "two.yaml").write_text(json.dumps(recipe))
    ended = subprocess.run(
        [sys.executable, "-m", "bfmkit", "run", "two.yaml", "--device", "cpu", "--threads", "1"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (out,) = (tmp_path / "runs").iterdir()
    assert json.loads((out / "summary.json").read_text())["updates"] == 3
    assert ended.stdout == f"runs/{out.name}\n"
    assert (out / "csv" / "version_0" / "metrics.csv").is_file()


@pytest.mark.parametrize("launcher", [SLURM, TORCHRUN, KUBERNETES], ids=["slurm", "torchrun", "kubernetes"])
def test_a_launcher_is_heeded_where_several_processes_train(launcher: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_first_process() and not is_launched()
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    assert is_launched() and not is_first_process()
    if launcher is KUBERNETES:
        environment = cluster_environment(1, 2)
        assert isinstance(environment, KubeflowEnvironment)
        assert (environment.world_size(), environment.global_rank()) == (2, 1)
    else:
        processes = int(launcher.get("WORLD_SIZE", launcher.get("SLURM_NTASKS", 0)))
        assert cluster_environment(processes, 1) is None, "Lightning recognises it"


def test_a_training_of_one_process_is_alone_in_a_schedulers_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert isinstance(cluster_environment(1, 1), LightningEnvironment)
    # As are two that one task of the scheduler starts itself.
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert isinstance(cluster_environment(2, 1), LightningEnvironment)


def test_torchrun_must_start_as_many_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    for devices in (1, 4):
        with pytest.raises(JobError, match=f"torchrun started 2 processes, and the recipe trains with {devices}"):
            cluster_environment(devices, 1)


def test_several_machines_must_be_told_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    with pytest.raises(JobError, match="missing: MASTER_PORT, NODE_RANK"):
        cluster_environment(devices=4, nodes=2)
    monkeypatch.setenv("MASTER_PORT", "12345")
    monkeypatch.setenv("NODE_RANK", "1")
    environment = cluster_environment(devices=4, nodes=2)
    assert (environment.main_address, environment.main_port, environment.node_rank()) == ("10.0.0.1", 12345, 1)


def test_devices_are_counted_on_from_the_one_that_was_asked_for() -> None:
    assert cluster_arguments(torch.device("cuda:1"), 4, 1)["devices"] == [1, 2, 3, 4]
    assert cluster_arguments(torch.device("cuda"), 1, 1)["devices"] == [0]
    arguments = cluster_arguments(CPU, 1, 1)
    assert (arguments["accelerator"], arguments["devices"], arguments["strategy"]) == ("cpu", 1, "auto")


def test_processes_of_a_machine_share_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(4)
    try:
        with shared_machine(3):
            assert torch.get_num_threads() == 1
            os.environ["LOCAL_RANK"] = "0"
        assert torch.get_num_threads() == 4
        assert not is_launched() and "OMP_NUM_THREADS" not in os.environ
    finally:
        torch.set_num_threads(before)
