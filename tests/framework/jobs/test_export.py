from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.datasets.exorl import ExorlDataset
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.exploration import explore
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.jobs.export import ExportJob
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
BODY = DMControlEnvironment("walker", "stand+stand", episode_steps=6)


class Jitter:
    """Acts at random."""

    def act(self, observation: torch.Tensor) -> torch.Tensor:
        return torch.rand(len(observation), 6) * 2 - 1

    def observe(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole episodes of the walker, and one that was cut."""
    folder = tmp_path_factory.mktemp("data")
    torch.manual_seed(0)
    episodes = empty_transitions(BODY.spec, 12).reshape(2, 6)
    assert explore(BODY, Jitter(), episodes)
    claim(folder, BODY.spec)
    writer = ShardWriter(folder, "shard-000", BODY.spec, 16)
    writer.append(episodes.reshape(-1))
    writer.append(episodes[0, :4])
    return folder


class TestExportJob(JobContract):
    @pytest.fixture(autouse=True)
    def _data(self, data: Path) -> None:
        self.data = data

    def make(self) -> ExportJob:
        return ExportJob(MemoryMapDataset(self.data))


def test_what_is_written_reads_back_as_it_was(data: Path, tmp_path: Path) -> None:
    original = MemoryMapDataset(data)
    summary = ExportJob(original, algorithm="jitter").run(tmp_path, CPU)
    assert summary == {"episodes": 3, "transitions": 16, "folder": "walker/jitter/buffer"}
    buffer = tmp_path / "walker" / "jitter" / "buffer"
    names = ["episode_000000_6.npz", "episode_000001_6.npz", "episode_000002_4.npz"]
    assert sorted(path.name for path in buffer.iterdir()) == names
    back = ExorlDataset(tmp_path / "walker" / "jitter", BODY)
    found, expected = back.read(torch.arange(16)), original.read(torch.arange(16))
    # An episode that was cut ends where its file does.
    expected["next", "truncated"][-1] = True
    for key in expected.keys(include_nested=True, leaves_only=True):
        assert torch.equal(found[key], expected[key]), key


def test_a_file_is_what_others_expect(data: Path, tmp_path: Path) -> None:
    ExportJob(MemoryMapDataset(data), environment=BODY).run(tmp_path, CPU)
    rows = MemoryMapDataset(data).read(torch.arange(6))
    with np.load(tmp_path / "walker" / "collected" / "buffer" / "episode_000000_6.npz") as stored:
        shapes = {name: (stored[name].shape, stored[name].dtype.name) for name in stored.files}
        assert shapes == {
            "observation": ((7, 24), "float32"),
            "action": ((7, 6), "float32"),
            "reward": ((7, 1), "float32"),
            "discount": ((7, 1), "float32"),
            "physics": ((7, 18), "float64"),
        }
        assert not stored["action"][0].any()
        np.testing.assert_array_equal(stored["action"][1:], rows["action"])
        rewards = BODY.relabel(rows["next", "physics"], rows["action"], "stand")
        np.testing.assert_allclose(stored["reward"][1:, 0], rewards, rtol=1e-6)
        assert rewards.max() > 0
        np.testing.assert_array_equal(stored["physics"][1:], rows["next", "physics"])


def test_a_reward_that_changes_with_time_is_told_the_step(data: Path, tmp_path: Path) -> None:
    body = DMControlEnvironment("walker", reward="step > 2", episode_steps=6)
    ExportJob(MemoryMapDataset(data), environment=body).run(tmp_path, CPU)
    with np.load(tmp_path / "walker" / "collected" / "buffer" / "episode_000001_6.npz") as stored:
        assert stored["reward"][1:, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_goes_on_with_the_episodes_that_are_missing(data: Path, tmp_path: Path) -> None:
    ExportJob(MemoryMapDataset(data)).run(tmp_path, CPU)
    buffer = tmp_path / "walker" / "collected" / "buffer"
    kept = (buffer / "episode_000000_6.npz").stat().st_mtime_ns
    (buffer / "episode_000001_6.npz").unlink()
    ExportJob(MemoryMapDataset(data)).run(tmp_path, CPU)
    assert (buffer / "episode_000001_6.npz").exists()
    assert (buffer / "episode_000000_6.npz").stat().st_mtime_ns == kept


def test_refuses_what_cannot_be(data: Path) -> None:
    with pytest.raises(ValueError, match="cheetah"):
        ExportJob(MemoryMapDataset(data), environment=DMControlEnvironment("cheetah", "run"))
    for name in ("a/b", "..", ""):
        with pytest.raises(ValueError, match="algorithm"):
            ExportJob(MemoryMapDataset(data), algorithm=name)
