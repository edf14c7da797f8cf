"""The script that makes the tables of docs/speed.md, at its smallest size."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROWS = [
    "fb_16", "ucb_16", "thompson_16", "runs_2", "episode_fixed_policy", "episode_ucb_every_step",
    "episode_ucb_every_25", "episode_thompson_every_25", "gpi", "latent_search", "adapters", "residual", "start",
]  # fmt: skip


def speed(monkeypatch: pytest.MonkeyPatch, *words: str) -> ModuleType:
    """As it is when it is run by hand, but that this process keeps its threads and its memory."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    script = importlib.import_module("speed")
    monkeypatch.setattr(script, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(script.torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    return script


def test_every_row_is_measured_beside_the_least(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    speed(monkeypatch, "--smallest", "--json", str(tmp_path / "speed.json")).main()
    measured = json.loads((tmp_path / "speed.json").read_text())["measured"]
    assert list(measured) == [f"{row}.{name}" for row in ROWS for name in ("ms", "bare_ms", "ratio")]
    for row in ROWS:
        assert measured[f"{row}.bare_ms"] > 0
        assert measured[f"{row}.ratio"] == pytest.approx(measured[f"{row}.ms"] / measured[f"{row}.bare_ms"])
    # Both are processes, and the first does what the second does, and more.
    assert measured["start.ratio"] > 1
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(ROWS)


def test_one_row_beside_busy_processes_that_end_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    script, others = speed(monkeypatch, "--smallest", "--busy", "--rows", "thompson"), []

    def started(*words: object, **named: object) -> object:
        others.append(script.subprocess.Popen(*words, **named))
        return others[-1]

    monkeypatch.setattr(script, "Popen", started)
    script.main()
    assert len(others) == 4
    assert all(other.poll() is not None for other in others)
    assert "Thompson step, width 16" in capsys.readouterr().out


def test_growth_measures_each_size_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [row.name for row in speed(monkeypatch).growth()]
    assert len(names) == len(set(names)) == 30
    assert {"UCB_runs_1024", "UCB_d_512", "Thompson_after_steps_10000"} <= set(names)
