from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.models.files import refuse_pickles


def test_safetensors_and_text_are_fine(tmp_path: Path) -> None:
    for name in ("model.safetensors", "recipe.yaml", "README.md", ".gitattributes"):
        (tmp_path / name).write_text("text")
    np.savez(tmp_path / "numbers.npz", a=np.zeros(2))
    (tmp_path / "folder").mkdir()
    refuse_pickles(tmp_path)


def test_pickles_are_found_below(tmp_path: Path) -> None:
    below = tmp_path / "data" / "2026"
    below.mkdir(parents=True)
    (below / "notes.txt").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"data/2026/notes\.txt may be a pickle"):
        refuse_pickles(tmp_path)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_known_by_how_they_begin(tmp_path: Path, protocol: int) -> None:
    name = "notes.txt" if protocol > 1 else "notes.pkl"  # the oldest protocols are text
    (tmp_path / name).write_bytes(pickle.dumps({"a": [1, 2]}, protocol))
    with pytest.raises(ValueError, match=rf"{name} may be a pickle"):
        refuse_pickles(tmp_path)


def test_torchs_own_are_too_whatever_they_are_called(tmp_path: Path) -> None:
    torch.save(torch.zeros(2), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors may be a pickle"):
        refuse_pickles(tmp_path)
