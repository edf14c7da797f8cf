"""The benchmark's verdict, on few updates of few features."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "posterior_accuracy.py"
    spec = spec_from_file_location("posterior_accuracy", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # Other tests keep their threads.
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    few = "posterior_accuracy.py --updates 200 --dim 2 --window 100 --block 10 --only ridge sliding_window"
    monkeypatch.setattr("sys.argv", few.split())
    return module


def test_succeeds_where_every_belief_is_near_the_truth(benchmark: ModuleType, capsys) -> None:
    assert benchmark.main() == 0
    assert "error above" not in capsys.readouterr().out


def test_fails_where_one_is_not_and_prints_everything_all_the_same(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    exact = benchmark.RidgePosterior.std
    monkeypatch.setattr(benchmark.RidgePosterior, "std", lambda *told: 1.0001 * exact(*told))
    assert benchmark.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("sliding_window") for line in lines) == 5
    assert lines[-1] == "an error above 1e-08 at condition number 1e+06: ridge (1e+06), ridge (repeated)"


@pytest.mark.parametrize(
    ("name", "aim", "errors", "far"),
    [
        ("ridge", "1e+06", [1e-11, 1e-9, 1e-8], False),
        ("ridge", "1e+06", [1e-11, 2e-8, 1e-8], True),
        ("ridge", "1e+06", [1e-11, float("nan"), 0.0], True),
        ("ridge", "repeated", [], True),
        ("ridge", "1e+10", [1.0, 1.0, 1.0], False),
        ("ridge, prior forgotten", "repeated", [1.0, 1.0, 1.0], False),
        ("ridge, prior forgotten", "1e+06", [1.0, 1.0, 1.0], True),
    ],
)
def test_what_is_too_far(benchmark: ModuleType, name: str, aim: str, errors: list[float], far: bool) -> None:
    assert benchmark.is_far(name, aim, errors) == far
