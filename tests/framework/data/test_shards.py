from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bfmkit.data.shards import ShardWriter, claim, empty_transitions, read_shard, read_spec, shard_names
from bfmkit.testing.models import ball_spec

SPEC = ball_spec(3, episode_steps=5)


def transitions(count: int, value: float = 1.0) -> torch.Tensor:
    rows = empty_transitions(SPEC, count)
    rows["action"].fill_(value)
    return rows


def test_a_shard_goes_on_where_an_earlier_writer_stopped(tmp_path: Path) -> None:
    claim(tmp_path, SPEC)
    ShardWriter(tmp_path, "shard-000", SPEC, 5).append(transitions(2))
    again = ShardWriter(tmp_path, "shard-000", SPEC, 5)
    again.append(transitions(3, 2.0))
    assert read_spec(tmp_path) == SPEC and shard_names(tmp_path) == ["shard-000"]
    assert read_shard(tmp_path, "shard-000")["action"][:, 0].tolist() == [1, 1, 2, 2, 2]
    with pytest.raises(ValueError, match="room for 0 more, got 1"):
        again.append(transitions(1))
    again.rewind(1)
    assert len(again.written()) == len(read_shard(tmp_path, "shard-000")) == 1
    with pytest.raises(ValueError, match="holds 1 transitions, 2 were to be kept"):
        again.rewind(2)


def test_what_was_not_counted_was_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path, SPEC)
    writer = ShardWriter(tmp_path, "shard-000", SPEC, 5)
    writer.append(transitions(1))
    monkeypatch.setattr(ShardWriter, "_commit", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.append(transitions(2, 9.0))
    assert len(read_shard(tmp_path, "shard-000")) == 1


def test_other_bodies_damage_and_absence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a run of a collect recipe leaves one"):
        read_spec(tmp_path)
    claim(tmp_path, SPEC)
    claim(tmp_path, SPEC)
    with pytest.raises(ValueError, match="the dataset"):
        claim(tmp_path, ball_spec(4, episode_steps=5))
    ShardWriter(tmp_path, "shard-000", SPEC, 5)
    with pytest.raises(ValueError, match="room for 5 transitions, 6 are wanted"):
        ShardWriter(tmp_path, "shard-000", SPEC, 6)
    (tmp_path / "shard-000.json").write_text("{}")
    with pytest.raises(ValueError, match=r"shard-000\.json is damaged"):
        read_shard(tmp_path, "shard-000")
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(ValueError, match=r"spec\.json is damaged"):
        read_spec(tmp_path)
