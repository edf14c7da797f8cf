from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from bfmkit.cli import main
from bfmkit.interfaces import EnvironmentSpec, JobError, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.jobs.replay_update import ReplayUpdateJob
from bfmkit.recipe import defer
from bfmkit.testing.job import JobContract
from bfmkit.testing.objective import SPEC
from bfmkit.training.failed_update import FailedUpdate
from bfmkit.training.rng_state import generator_states

CPU = torch.device("cpu")
OBJECTIVE = {
    "type": "forward_backward",
    "bfm": {"type": "forward_backward", "dim": 4, "networks": {"type": "two_stream", "width": 16, "encoder_width": 16}},
}


def failed(bad_weight: bool = False, precision: str = "float32") -> FailedUpdate:
    """An update that is not finite for its seventh action, or for a weight."""
    torch.manual_seed(0)
    objective = defer(Objective, OBJECTIVE).build(SPEC)
    rows = 12
    batch = TensorDict(
        {
            "observation": torch.randn(rows, SPEC.observation_size),
            "action": torch.rand(rows, SPEC.action_size),
            "next": {
                "observation": torch.randn(rows, SPEC.observation_size),
                "terminated": torch.zeros(rows, dtype=torch.bool),
            },
        },
        [rows],
    )
    weights = {name: value.clone() for name, value in objective.state_dict().items()}
    if bad_weight:
        weights["bfm.actor_network.body.out.bias"][0] = torch.inf
    else:
        batch["action"][7] = torch.nan
    return FailedUpdate(31, batch, weights, generator_states(CPU), precision, OBJECTIVE, SPEC.to_dict())


class TestReplayUpdateJob(JobContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.file = failed().save(tmp_path_factory.mktemp("failed"))

    def make(self) -> ReplayUpdateJob:
        return ReplayUpdateJob(self.file)


def test_says_where_an_update_goes_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = ReplayUpdateJob(failed().save(tmp_path)).run(tmp_path, CPU)
    assert summary["came_back"]
    assert summary["losses"]["loss_measure"] == "nan"
    assert float(summary["losses"]["loss_orthonormality"]) != 0
    assert summary["rows_of_the_batch"] == {"action": [7]}
    assert summary["first_module"] == "bfm.forward_network.members.0.left.joined"
    assert summary["weights"] == []
    said = capsys.readouterr().err
    assert "update 31: not finite again" in said
    assert "the batch's action is not finite in rows 7" in said
    assert (tmp_path / "report.txt").read_text() == said


def test_a_weight_may_be_to_blame(tmp_path: Path) -> None:
    summary = ReplayUpdateJob(failed(bad_weight=True).save(tmp_path)).run(tmp_path, CPU)
    assert summary["weights"] == ["bfm.actor_network.body.out.bias"]
    assert summary["first_module"] == "bfm.actor_network.body.out"


def test_what_is_finite_elsewhere_is_said_too(tmp_path: Path) -> None:
    update = failed()
    update.batch["action"][7] = 0.0
    summary = ReplayUpdateJob(update.save(tmp_path)).run(tmp_path, CPU)
    assert not summary["came_back"]
    assert summary["first_module"] is None
    assert summary["gradients"] == []
    other = ReplayUpdateJob(update.save(tmp_path)).run(tmp_path, CPU)
    assert other["losses"] == summary["losses"]
    half = FailedUpdate(**{**vars(update), "precision": "bf16"})
    assert ReplayUpdateJob(half.save(tmp_path)).run(tmp_path, CPU)["losses"] != summary["losses"]


def test_the_command_that_a_pretraining_ends_with_replays_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bfmkit.components.datasets.memory_map import MemoryMapDataset
    from bfmkit.data.shards import ShardWriter, claim, empty_transitions

    spec = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand",))
    claim(tmp_path / "data", spec)
    rows = empty_transitions(spec, 60)
    torch.manual_seed(0)
    for key in ("observation", "action", ("next", "observation")):
        rows[key].uniform_(-1, 1)
    rows["action"][17] = torch.nan
    ShardWriter(tmp_path / "data", "shard-000", spec, 60).append(rows)
    out = tmp_path / "my run"
    out.mkdir()
    job = PretrainJob(MemoryMapDataset(tmp_path / "data"), defer(Objective, OBJECTIVE), 50, batch_size=8)
    with pytest.raises(JobError, match=r"update \d+: .*loss_measure.* not finite") as stopped:
        job.run(out, CPU)
    assert not (out / "model").exists()
    command = re.search(r"To replay the update: (.*)", str(stopped.value))[1]
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    assert words[:3] == ["bfmkit", "run", "replay_update"]
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    assert main([*words[1:], "--out", "replayed", "--device", "cpu"]) == 0
    summary = json.loads((tmp_path / "replayed" / "summary.json").read_text())
    assert summary["came_back"]
    (bad,) = {tuple(rows) for rows in summary["rows_of_the_batch"].values()}
    (file,) = out.glob("failed_update_*.pt")
    saved = FailedUpdate.load(file)
    assert saved.batch["action"][list(bad)].isnan().any(dim=-1).all()
    assert summary["update"] == saved.number


def test_refuses_what_is_no_saved_update(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        ReplayUpdateJob(tmp_path / "nothing.pt")
    for name, content in (("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="no saved update"):
            ReplayUpdateJob(tmp_path / name)
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="no saved update"):
        ReplayUpdateJob(tmp_path / "other.pt")
