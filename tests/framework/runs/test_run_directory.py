from __future__ import annotations

import json
import math
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.recipe import load_recipe
from bfmkit.runs.run_directory import (
    RunDirectoryError,
    append_metrics,
    cut_torn_line,
    default_out,
    first_difference,
    open_run,
    read_metrics,
    write_summary,
)
from bfmkit.utils.files import to_json, write_atomically

FACTS = {"seed": 3, "device": "cpu"}


@pytest.fixture
def recipe(toys, here: Path):
    (here / "mine.yaml").write_text("type: toy\nquery_rule: {type: toy}\nseed: 3\n")
    return load_recipe("mine")


def test_a_new_run_directory_says_what_is_run(recipe, here: Path) -> None:
    out = here / "deep" / "run"
    with open_run(out, recipe, FACTS) as resumes:
        assert not resumes
        assert (out / "recipe.yaml").read_text() == recipe.to_yaml()
        provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["seed"] == 3
    assert provenance["device"] == "cpu"
    assert provenance["versions"]["torch"] == version("torch")
    assert "git" in provenance
    assert load_recipe(out / "recipe.yaml").tree == recipe.tree


def test_the_same_recipe_resumes(recipe, here: Path) -> None:
    out = here / "run"
    for _ in range(3):
        with open_run(out, recipe, FACTS) as resumes:
            append_metrics(out, {"resumes": resumes})
            with (out / "metrics.jsonl").open("a") as file:
                file.write('{"torn": 1')
    assert read_metrics(out) == [{"resumes": False}, {"resumes": True}, {"resumes": True}]
    assert len(json.loads((out / "provenance.json").read_text())["resumed"]) == 2


def test_another_recipe_is_refused_by_its_first_difference(recipe, here: Path) -> None:
    out = here / "run"
    with open_run(out, recipe, FACTS):
        pass
    for overrides, difference in {
        ("seed=4",): "seed was 3 there and is 4 here",
        ("steps=4",): "steps was not said there and is 4 here",
        ("query_rule.mode=soft",): 'query_rule.mode was not said there and is "soft" here',
    }.items():
        with pytest.raises(RunDirectoryError, match=difference), open_run(out, load_recipe("mine", overrides), FACTS):
            pass


def test_what_is_no_run_directory_is_left_alone(recipe, here: Path) -> None:
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("years of work")
    for name in ("full", "full/thesis.txt", "full/thesis.txt/deeper"):
        with pytest.raises(RunDirectoryError, match=name), open_run(here / name, recipe, FACTS):
            pass
    assert [each.name for each in (here / "full").iterdir()] == ["thesis.txt"]
    (here / "empty").mkdir()
    with open_run(here / "empty", recipe, FACTS):
        pass


def test_two_processes_do_not_share_a_run(recipe, here: Path) -> None:
    second = open_run(here / "run", recipe, FACTS)
    with open_run(here / "run", recipe, FACTS), pytest.raises(RunDirectoryError, match="another process"), second:
        pass
    with open_run(here / "run", recipe, FACTS) as resumes:
        assert resumes


def test_errors_of_the_job_are_its_own(recipe, here: Path) -> None:
    with pytest.raises(PermissionError, match="mine"), open_run(here / "run", recipe, FACTS):
        raise PermissionError("mine")


def test_a_default_name_is_free(recipe, here: Path) -> None:
    names = set()
    for _ in range(3):
        out = default_out(recipe)
        assert out.parent == Path("runs")
        assert out.name.startswith("mine-")
        out.mkdir(parents=True)
        names.add(out)
    assert len(names) == 3


def test_metrics_are_appended_a_row_a_line(here: Path) -> None:
    append_metrics(here, {"a": 1, "name": "ä"})
    append_metrics(here, [{"a": np.float64(2)}, {"a": torch.tensor(3)}, {"a": math.nan}])
    assert read_metrics(here) == [{"a": 1, "name": "ä"}, {"a": 2.0}, {"a": 3}, {"a": None}]
    assert read_metrics(here / "nowhere") == []


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", b""),
        (b'{"a": 1}\n', b'{"a": 1}\n'),
        (b'{"a": 1}\n{"b"', b'{"a": 1}\n'),
        (b'{"a"', b""),
        (b"\n\xff\xc3", b"\n"),
    ],
)
def test_a_torn_last_line_is_cut(here: Path, data: bytes, whole: bytes) -> None:
    path = here / "metrics.jsonl"
    path.write_bytes(data)
    assert cut_torn_line(path) == len(data) - len(whole)
    assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_no_secret(here: Path) -> None:
    (here / "metrics.jsonl").write_text('{"a": 1}\n{"b"\n{"c": 1}\n')
    with pytest.raises(ValueError, match="metrics.jsonl"):
        read_metrics(here)


def test_a_file_is_written_whole_or_not_at_all(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here / "summary.json"
    write_atomically(path, "first")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_atomically(path, b"second")
    assert path.read_text() == "first"
    assert [each.name for each in here.iterdir()] == ["summary.json"]


def test_a_summary_is_strict_json(here: Path) -> None:
    write_summary(here, {"mean": math.inf, "path": here, "per_task": {"a": np.arange(2)}, "flag": True, "pair": (1, 2)})
    summary = json.loads((here / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary == {"mean": None, "path": str(here), "per_task": {"a": [0, 1]}, "flag": True, "pair": [1, 2]}
    assert to_json(summary).endswith("}\n")


@pytest.mark.parametrize(
    ("earlier", "now", "difference"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "a.b was [1] there and is [2] here"),
        ({"a": 1}, {"a": True}, "a was 1 there and is true here"),
        ({"a": 1}, {}, "a was 1 there and is not said here"),
        ({"a": {}}, {"a": "x"}, 'a was a mapping there and is "x" here'),
        (None, {"a": 1}, " was nothing there and is a mapping here"),
    ],
)
def test_the_first_difference_in_words(earlier: object, now: object, difference: str | None) -> None:
    assert first_difference(earlier, now) == difference
