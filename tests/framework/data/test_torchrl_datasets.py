from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bfmkit.data.torchrl_datasets  # noqa: F401  makes the name known, so it comes before TorchRL's
from bfmkit.data.conversion import DataError
from bfmkit.data.exorl_layout import write_episode
from bfmkit.data.shards import empty_transitions
from bfmkit.testing.models import ball_spec

from torchrl.data.datasets import load_dataset  # isort: skip

SPEC = ball_spec(dim=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    buffer = tmp_path / "ball" / "rnd" / "buffer"
    buffer.mkdir(parents=True)
    for index in range(3):
        rows = empty_transitions(SPEC, 5)
        rows["observation"] += torch.arange(5).unsqueeze(-1) + 10 * index
        rows["next", "observation"] += torch.arange(1, 6).unsqueeze(-1) + 10 * index
        write_episode(buffer, index, rows)
    return tmp_path


def test_is_loaded_by_name(root: Path) -> None:
    data = load_dataset("exorl:ball/rnd", root=root, batch_size=32)
    assert len(data) == 15
    batch = data.sample()
    assert torch.equal(batch["next", "observation"], batch["observation"] + 1)
    assert batch["next", "done"].shape == (32, 1)
    whole = data[:]
    assert whole["next", "done"].squeeze(-1).nonzero().squeeze(-1).tolist() == [4, 9, 14]
    assert whole["next", "physics"].dtype == torch.float64
    assert len(data.source["files"]) == 3


def test_nothing_can_be_added(root: Path) -> None:
    data = load_dataset("exorl:ball/rnd", root=root, batch_size=2)
    with pytest.raises(RuntimeError):
        data.extend(data[:2])


def test_a_part_or_a_damaged_file(root: Path) -> None:
    assert len(load_dataset("exorl:ball/rnd", root=root, episodes=2)) == 10
    (root / "ball" / "rnd" / "buffer" / "episode_000001_5.npz").write_bytes(b"no")
    with pytest.raises(ValueError, match="episode_000001"):
        load_dataset("exorl:ball/rnd", root=root)
    assert len(load_dataset("exorl:ball/rnd", root=root, skip_corrupt=True)) == 10
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_dataset("exorl:nowhere/rnd", root=root)


@pytest.mark.parametrize("content", [b"", b"no", b"PK\x03\x04 and no more"])
def test_a_damaged_first_file_is_named_or_skipped(root: Path, content: bytes) -> None:
    buffer = root / "ball" / "rnd" / "buffer"
    (buffer / "episode_000000_5.npz").write_bytes(content)
    with pytest.raises(DataError, match="episode_000000_5.npz: truncated or damaged"):
        load_dataset("exorl:ball/rnd", root=root)
    data = load_dataset("exorl:ball/rnd", root=root, skip_corrupt=True)
    assert data[:]["observation"][0, 0] == 10
    assert [row["name"] for row in data.source["skipped"]] == ["episode_000000_5.npz"]
    for path in buffer.iterdir():
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"none of 3 episodes can be used; the first: .*episode_000000_5.npz"):
        load_dataset("exorl:ball/rnd", root=root, skip_corrupt=True)
