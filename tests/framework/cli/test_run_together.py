"""Two machines that train one model, played by two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from bfmkit.cli import main
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.recipe import load_recipe
from bfmkit.runs.run_directory import RunDirectoryError, join_run

RECIPE = """
type: pretrain
dataset: {type: memory_map, path: data}
objective:
  type: forward_backward
  bfm: {type: forward_backward, dim: 4, networks: {type: two_stream, width: 16, encoder_width: 16}}
updates: 5
batch_size: 8
hardware: {nodes: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    spec = EnvironmentSpec("ball", 3, 3, 3, 5, 1.0, ("task_0",))
    claim(tmp_path / "data", spec)
    rows = empty_transitions(spec, 40)
    for key in ("observation", "action", ("next", "observation")):
        rows[key].uniform_(-1, 1)
    ShardWriter(tmp_path / "data", "shard-000", spec, 40).append(rows)
    (tmp_path / "two.yaml").write_text(RECIPE)
    return tmp_path / "two.yaml"


def test_the_same_command_on_two_machines_trains_one_model(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", str(recipe), "--out", "out", "--device", "cpu"]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    for name, value in {**shared, "NODE_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    second = subprocess.Popen(
        [sys.executable, "-c", "import sys; from bfmkit.cli import main; sys.exit(main(sys.argv[1:]))", *words],
        env={**os.environ, **shared, "NODE_RANK": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with second:
        try:
            assert main(words) == 0
            said, _ = second.communicate(timeout=120)
        finally:
            second.kill()
    assert second.returncode == 0, said
    assert json.loads((recipe.parent / "out" / "summary.json").read_text())["updates"] == 5
    state = torch.load(recipe.parent / "out" / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(state["generators"]) == 2
    # The second machine wrote nothing into the first one's record of the run.
    assert "resumed" not in json.loads((recipe.parent / "out" / "provenance.json").read_text())


def test_machines_must_be_told_where_to_meet(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("NODE_RANK", raising=False)
    assert main(["run", str(recipe), "--device", "cpu"]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["run", str(recipe), "--device", "cpu", "--out", "out"]) == 1
    assert "MASTER_ADDR" in capsys.readouterr().err


def test_a_machine_does_not_join_another_run(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    with pytest.raises(RunDirectoryError, match="do both see this disk"):
        join_run(recipe.parent / "out", loaded, patience=0.0)
    (recipe.parent / "out").mkdir()
    (recipe.parent / "out" / "recipe.yaml").write_text(load_recipe(recipe, ["updates=6"]).to_yaml())
    with pytest.raises(RunDirectoryError, match="updates was 6 there"):
        join_run(recipe.parent / "out", loaded)
