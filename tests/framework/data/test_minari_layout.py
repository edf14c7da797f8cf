from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.datasets.minari import MinariDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.minari_layout import dataset_id
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.jobs.export import ExportJob
from bfmkit.testing.models import ball_spec

minari = pytest.importorskip("minari", reason="an extra: pip install 'bfmkit[minari]'")
pytest.importorskip("h5py", reason="minari's files are read by h5py")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_what_is_written_is_read_by_minari_and_by_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = DMControlEnvironment("walker", "stand", episode_steps=6)
    claim(tmp_path / "data", body.spec)
    rows = empty_transitions(body.spec, 10)
    torch.manual_seed(0)
    observation, _ = body.reset_batch()
    for step in range(10):
        action = torch.rand(1, 6) * 2 - 1
        outcome = body.step_batch(action)
        rows["observation"][step], rows["action"][step] = observation[0], action[0]
        rows["next", "observation"][step], rows["next", "physics"][step] = outcome.observation[0], outcome.physics[0]
        rows["next", "truncated"][step] = step == 5
        observation = body.reset_batch()[0] if step == 5 else outcome.observation
    ShardWriter(tmp_path / "data", "shard-000", body.spec, 10).append(rows)
    original, out = MemoryMapDataset(tmp_path / "data"), tmp_path / "out"
    out.mkdir()
    job = ExportJob(original, algorithm="jitter", environment=body, layout="minari")
    expected = {"episodes": 2, "transitions": 10, "folder": "walker/jitter-v0"}
    assert job.run(out, torch.device("cpu")) == expected
    # Again, nothing is written.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert job.run(out, torch.device("cpu")) == expected
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(out))
    stored = minari.load_dataset("walker/jitter-v0")
    assert [len(episode) for episode in stored] == [6, 4]
    rewards = body.relabel(rows["next", "physics"], rows["action"], "stand")
    np.testing.assert_allclose(stored[0].rewards, rewards[:6], rtol=1e-6)
    np.testing.assert_array_equal(stored[1].infos["physics"][1:], rows["next", "physics"][6:])
    back = MinariDataset("walker/jitter-v0").read(torch.arange(10))
    for key in ("observation", "action", ("next", "observation")):
        torch.testing.assert_close(back[key], rows[key])
    assert back["next", "truncated"].nonzero().flatten().tolist() == [5, 9]


def test_names_are_such_as_minari_allows() -> None:
    assert dataset_id(ball_spec(2), "rnd 2") == "ball/rnd_2-v0"
