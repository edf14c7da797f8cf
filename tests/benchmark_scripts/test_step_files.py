from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def test_a_step_that_chooses_and_learns_goes_through_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    script = importlib.import_module("step_files")
    files = script.visited("opti_bfm")
    assert script.changes(files) < 95
    assert len(set(files)) < 18


def test_counts_changes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    script = importlib.import_module("step_files")
    assert script.changes(["a", "a", "b", "a", "c", "c"]) == 3
