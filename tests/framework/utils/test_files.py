from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.utils.files import expand_home, plain_values, to_json, write_atomically


def test_json_has_null_where_a_number_is_not_finite() -> None:
    value = {"a": float("nan"), 1: [np.float32(2.5), torch.tensor([1.0, float("inf")])], "path": Path("x")}
    assert plain_values(value) == {"a": None, "1": [2.5, [1.0, None]], "path": "x"}
    assert json.loads(to_json(value)) == plain_values(value)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "before")
    write_atomically(path, b"after")
    assert path.read_bytes() == b"after"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "torn")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path], "the temporary file is gone"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_home("~/data") == tmp_path / "data"
    assert expand_home("a/~/b") == Path("a/~/b")
    assert expand_home("~nobody_of_that_name/x") == Path("~nobody_of_that_name/x")
