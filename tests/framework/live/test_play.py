from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import bfmkit
from bfmkit.live.film_export import save_film
from bfmkit.live.play import play
from bfmkit.runs.record import Record, RecordError
from bfmkit.utils.errors import RefusedError

BRIEF = ["episodes=2", "oracle_episodes=0", "environment.episode_steps=40"]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    run = bfmkit.run("opti_bfm", *BRIEF, out=tmp_path_factory.mktemp("run"))
    return Record.load(next((Path(run.out) / "records").glob("*.safetensors")))


def test_the_mean_s_policy_acts_from_different_starts(record: Record) -> None:
    played = play(record, episodes=2, seed=5)
    assert played.task == "stand" and len(played.returns) == 2 and played.returns[0] != played.returns[1]
    again = play(record, episodes=1, seed=6)
    assert again.returns[0] == pytest.approx(played.returns[1], rel=1e-3)


def test_a_record_whose_task_is_only_a_name_is_played(record: Record) -> None:
    named = replace(record, facts={**record.facts, "task": "standing still"})
    assert play(named, episodes=1).task is None


@pytest.mark.parametrize("ending", ["html", "gif"])
def test_a_film_is_written(record: Record, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "films" / f"walker.{ending}"
    save_film(path, play(record).footage)
    assert path.stat().st_size > 10_000


def test_what_cannot_be_played_is_said(record: Record, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"as .html or .gif"):
        save_film(tmp_path / "walker.mov", play(record).footage)
    with pytest.raises(ValueError, match="at least 1"):
        play(record, episodes=0)
    without = {name: value for name, value in record.facts.items() if name != "environment"}
    with pytest.raises(RecordError, match="with which environment"):
        play(Record(without, record.tensors))
