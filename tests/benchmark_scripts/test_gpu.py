"""The script for a machine with a GPU: its bookkeeping; all of its steps run on a CPU with ``--small``."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from bfmkit.recipe import load_recipe


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("gpu")


def test_a_step_that_fails_is_noted_and_keeps_its_log(script: ModuleType, tmp_path: Path) -> None:
    steps = script.Steps(tmp_path, threads=1)
    assert steps.run("good", "-c", "print('fine')")
    assert not steps.run("bad", "-c", "raise SystemExit('broken')")
    assert {name: step["exit_code"] for name, step in steps.times.items()} == {"good": 0, "bad": 1}
    assert (tmp_path / "good.log").read_text() == "fine\n"
    assert (tmp_path / "bad.log").read_text() == "broken\n"


def test_the_rate_is_the_last_that_the_progress_bar_said(script: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "trial.log"
    log.write_text("pretrain: 100/2,000 updates, 38.5/s, 1:02 left\npretrain: 2,000/2,000 updates, 1,234/s, value 3\n")
    assert script.rate(log) == 1234.0


def test_its_overrides_are_those_of_the_recipe(script: ModuleType) -> None:
    for size in (script.GPU, script.SMALL):
        wide = (f"objective.bfm.networks.width={size.width}", f"batch_size={size.batch}")
        load_recipe("pretrain_walker", [*size.overrides, *wide])
    for path in script.TESTS:
        assert (Path(__file__).parents[2] / path).is_file()
