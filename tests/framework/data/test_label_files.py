from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bfmkit.data.label_files import read_tensors


def test_reads_both_kinds_of_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", observation=np.ones((3, 2)), reward=np.arange(3))
    save_file({"observation": torch.ones(3, 2), "reward": torch.arange(3)}, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        found = read_tensors(tmp_path / name, ("observation", "reward"))
        assert found["observation"].shape == (3, 2) and found["reward"].tolist() == [0, 1, 2]


def test_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        read_tensors(tmp_path / "gone.npz", ("observation",))
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match="come in"):
        read_tensors(tmp_path / "a.csv", ("observation",))
    for name in ("bad.npz", "bad.safetensors"):
        for content in (b"", b"garbage", b"PK\x03\x04garbage"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match="damaged"):
                read_tensors(tmp_path / name, ("observation",))
    np.savez(tmp_path / "pickle.npz", observation=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="damaged, or no file of numbers"):
        read_tensors(tmp_path / "pickle.npz", ("observation",))
    np.savez(tmp_path / "text.npz", observation=np.array(["a"]))
    with pytest.raises(ValueError, match="damaged, or no file of numbers"):
        read_tensors(tmp_path / "text.npz", ("observation",))
    np.savez(tmp_path / "few.npz", observation=np.ones((3, 2)))
    with pytest.raises(ValueError, match='has no "reward"'):
        read_tensors(tmp_path / "few.npz", ("observation", "reward"))
    np.savez(tmp_path / "odd.npz", observation=np.ones((3, 2)), rewards=np.ones(3))
    with pytest.raises(ValueError, match='has "rewards", which means nothing'):
        read_tensors(tmp_path / "odd.npz", ("observation",))
    np.savez(tmp_path / "torn.npz", observation=np.ones((3, 2)), reward=np.ones(2))
    with pytest.raises(ValueError, match="different lengths"):
        read_tensors(tmp_path / "torn.npz", ("observation",))
