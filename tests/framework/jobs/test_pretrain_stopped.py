"""Trainings that a person or a scheduler stops, and the variables that a scheduler sets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.runs.run_directory import read_metrics

SCHEDULED = {
    "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "77", "SLURM_PROCID": "1", "SLURM_LOCALID": "1",
    "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1",
}  # fmt: skip
RECIPE = """
type: pretrain
dataset: {{type: memory_map, path: {data}}}
objective:
  type: forward_backward
  bfm: {{type: forward_backward, dim: 4, networks: {{type: two_stream, width: 16, encoder_width: 16}}}}
updates: 1000000
batch_size: 16
inference_set: 50
"""


def stopped(folder: Path, number: signal.Signals) -> tuple[int, str]:
    """Exit code and standard error of a training that is sent a signal after its first update."""
    metrics = folder / "out" / "metrics.jsonl"
    before = metrics.stat().st_size if metrics.exists() else 0
    process = subprocess.Popen(
        [sys.executable, "-c", "from bfmkit.cli import main; raise SystemExit(main())",
         "run", "mine.yaml", "--out", "out", "--device", "cpu", "--threads", "1"],
        cwd=folder, env=os.environ | SCHEDULED, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        # A process in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size > before):
            time.sleep(0.1)
        process.send_signal(number)
        return process.wait(60), process.communicate()[1]
    finally:
        process.kill()


def test_a_stopped_training_saves_its_state_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(RECIPE.format(data=data))
    (tmp_path / "hpc_ckpt_1.ckpt").write_text("the state of somebody else")
    reached = 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        ended, said = stopped(tmp_path, number)
        assert ended == code, said
        assert "stopped; to go on: bfmkit run mine.yaml --device cpu --out out" in said
        state = torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=True)
        assert state["update"] > reached
        reached = state["update"]
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hpc_ckpt_1.ckpt", "mine.yaml", "out"]


def test_another_runs_state_in_this_folder_is_not_taken_for_ones_own(
    pretrain: Callable[..., PretrainJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("other", "alone", "beside"):
        (tmp_path / name).mkdir()
    pretrain(seed=0).run(tmp_path / "other", torch.device("cpu"))
    pretrain(seed=5).run(tmp_path / "alone", torch.device("cpu"))
    (tmp_path / "other" / "checkpoints" / "last.ckpt").rename(tmp_path / "hpc_ckpt_1.ckpt")
    monkeypatch.chdir(tmp_path)
    for name, value in SCHEDULED.items():
        monkeypatch.setenv(name, value)
    pretrain(seed=5).run(tmp_path / "beside", torch.device("cpu"))
    assert read_metrics(tmp_path / "beside") == read_metrics(tmp_path / "alone")
    alone, beside = (checkpoint(str(tmp_path / n / "model")).state_dict() for n in ("alone", "beside"))
    assert all(torch.equal(beside[name], alone[name]) for name in alone)
