from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bfmkit.runs import record as module
from bfmkit.runs.record import Record, RecordError, record_name


def record() -> Record:
    tensors = {"weights": torch.arange(3.0).double(), "rewards": torch.ones(0)}
    return Record({"kind": "online", "task": "stand", "seed": 3, "nothing": None}, tensors)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record().save(tmp_path / "records" / "one.safetensors")
    again = Record.load(tmp_path / "records" / "one.safetensors")
    assert dict(again.facts) == {"format": module.FORMAT, **record().facts}
    assert torch.equal(again.weights, record().weights)
    assert again.tensors["rewards"].shape == (0,)
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["one.safetensors"]


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(RecordError, match="there is no such file"):
        Record.load(path)
    with pytest.raises(RecordError, match="there is no such file"):
        Record.load(tmp_path)
    for content in (b"", b"garbage", b"PK\x03\x04" + bytes(100), b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(RecordError, match="no inference record, or a damaged one"):
            Record.load(path)
    save_file({"weights": torch.ones(3)}, path)
    with pytest.raises(RecordError, match="but no inference record"):
        Record.load(path)


def test_a_record_that_was_cut_or_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    record().save(path)
    whole = path.read_bytes()
    for end in (1, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(RecordError, match="damaged"):
            Record.load(path)
    # Every byte counts: of the numbers, and of the words in the header.
    for place in (len(whole) - 1, whole.index(b"stand"), whole.index(b"online")):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(RecordError, match="damaged"):
            Record.load(path)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORMAT", 99)
    record().save(tmp_path / "x.safetensors")
    monkeypatch.undo()
    with pytest.raises(RecordError, match="format 99.*update"):
        Record.load(tmp_path / "x.safetensors")


def test_names_of_files_are_plain_and_differ() -> None:
    assert record_name("walk", 3) == "walk-seed-3.safetensors"
    typed = [record_name(task, 0) for task in ("a > 1", "a < 1", "a/../b", "x * " * 40 + "y")]
    assert len(set(typed)) == 4
    for name in typed:
        assert not set(name) & set(" /<>*") and len(name) < 80
    assert json.dumps(typed)
