from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.jobs.track import TrackJob
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

CPU = torch.device("cpu")


def shown(folder: Path, rows: int = 15) -> Path:
    angle = np.linspace(0, np.pi, rows)
    np.savez(folder / "shown.npz", observation=np.stack([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], 1))
    return folder / "shown.npz"


class TestTrackJob(JobContract):
    def make(self) -> TrackJob:
        with tempfile.TemporaryDirectory() as folder:
            return TrackJob(LinearBFM(), BallEnvironment(), shown(Path(folder)), lookahead=1, seeds=2)


def test_a_model_that_can_follow_does_and_chance_does_not(tmp_path: Path) -> None:
    job = TrackJob(LinearBFM(labelled=4000), BallEnvironment(), shown(tmp_path), lookahead=1, seeds=3)
    out = tmp_path / "run"
    out.mkdir()
    summary = job.run(out, CPU)
    assert (summary["steps"], summary["seeds"]) == (15, 3)
    assert summary["distance"]["tracking"] < 0.2 < 0.8 < summary["distance"]["random"]
    table = list(csv.DictReader((out / "figures" / "tracking.csv").read_text().splitlines()))
    assert len(table) == 2 * 15 and (out / "figures" / "tracking.png").is_file()


def test_says_how_near_it_is_to_each_of_a_list_of_goals(tmp_path: Path) -> None:
    job = TrackJob(LinearBFM(labelled=4000), BallEnvironment(), shown(tmp_path, 3), lookahead=1, hold=5, seeds=3)
    (tmp_path / "run").mkdir()
    summary = job.run(tmp_path / "run", CPU)
    ends = summary["distance_at_end_of_hold"]
    assert len(ends["tracking"]) == len(ends["random"]) == 3
    assert max(ends["tracking"]) < 0.2 < min(ends["random"])
    by_seed = summary["distance_by_seed"]["tracking"]
    assert len(by_seed) == 3 and np.mean(by_seed) == pytest.approx(summary["distance"]["tracking"])


def test_stopped_after_its_first_agent_it_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = TrackJob(LinearBFM(labelled=4000), BallEnvironment(), shown(tmp_path), lookahead=1, seeds=2)
    out = tmp_path / "run"
    out.mkdir()
    follow = job._follow

    def stopped(who: str) -> list:
        if who == "random":
            raise KeyboardInterrupt
        return follow(who)

    monkeypatch.setattr(job, "_follow", stopped)
    with pytest.raises(KeyboardInterrupt):
        job.run(out, CPU)
    monkeypatch.undo()
    assert set(job.run(out, CPU)["distance"]) == {"tracking", "random"}


def test_refuses_what_does_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", observation=np.zeros((3, 7)))
    with pytest.raises(ValueError, match=r"observations must be \(3, 4\)"):
        TrackJob(LinearBFM(), BallEnvironment(), tmp_path / "other.npz")
    with pytest.raises(ValueError, match="seeds"):
        TrackJob(LinearBFM(), BallEnvironment(), shown(tmp_path), seeds=0)
