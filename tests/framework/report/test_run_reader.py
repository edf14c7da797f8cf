from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from bfmkit.report.run_reader import chosen, read_runs
from bfmkit.runs.run_directory import PROVENANCE, RECIPE, SUMMARY, RunDirectoryError


@pytest.fixture
def copy(finder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finder, tmp_path / "copy"))


def test_a_run_is_read_with_all_that_it_left(finder: Path) -> None:
    (run,) = read_runs([finder])
    assert (run.name, run.job, run.command) == ("finder", "infer", "bfmkit run finder --out finder")
    assert run.results is not None and len(run.results) == 12
    assert run.failures.is_empty()
    assert not run.trace.is_empty()
    assert {path.name for path in run.figures} == {"return.png", "belief.png"}


def test_recipes_of_one_name_are_told_apart(finder: Path, copy: Path, guesser: Path) -> None:
    runs = read_runs([finder, copy, guesser])
    assert [run.name for run in runs] == ["finder (finder)", "finder (copy)", "guesser"]
    names = [run.results["recipe"].unique().to_list() for run in runs if run.results is not None]
    assert names == [["finder (finder)"], ["finder (copy)"], ["guesser"]]
    twin = Path(shutil.copytree(copy, copy.parent / "elsewhere" / "copy"))
    assert len({run.name for run in read_runs([copy, twin])}) == 2


def test_recipes_and_tasks_are_chosen_and_renamed(finder: Path, guesser: Path) -> None:
    runs = read_runs([finder, guesser])
    (run,) = chosen(runs, ["guesser"], ["task_2"], {"guesser": "Random policies", "task_2": "third"})
    assert run.results is not None
    assert set(run.results["recipe"]) == {"Random policies"} and set(run.results["task"]) == {"third"}
    assert list(run.recipes) == ["Random policies"]
    assert [each.name for each in chosen(runs)] == ["finder", "guesser"]
    for arguments, words in (
        ((["guessr"],), 'no run has the recipe guessr; did you mean "guesser"'),
        (((), ["fly"]), "no run has the task fly"),
        (((), (), {"nobody": "x"}), "--labels: no run has a recipe or task nobody"),
    ):
        with pytest.raises(RunDirectoryError, match=words):
            chosen(runs, *arguments)


def test_a_typed_task_is_chosen_and_renamed_by_its_name(guesser: Path) -> None:
    (run,) = read_runs([guesser])
    assert run.results is not None
    typed = run.results.with_columns(task=pl.lit("low = torso_height < 0.8"))
    (taken,) = chosen([replace(run, results=typed)], tasks=["low"], labels={"low": "crouch"})
    assert taken.results is not None and set(taken.results["task"]) == {"crouch"}


def test_failures_are_read(copy: Path) -> None:
    summary = json.loads((copy / SUMMARY).read_text())
    summary["stopped"] = ["task task_0, seed 1, episode 2: the reward is not finite"]
    (copy / SUMMARY).write_text(json.dumps(summary))
    (run,) = read_runs([copy])
    assert run.failures["error"].to_list() == summary["stopped"]


def test_a_benchmark_has_its_own_recipe_beside_those_that_it_compares(contest: Path, finder: Path) -> None:
    run, other = read_runs([contest, finder])
    assert list(run.recipes) == ["first", "second"]
    assert run.settings is not None
    assert run.settings["overrides"] == ["bfm.discount=0.5"]
    # What its recipe leaves unsaid, the run has said.
    assert (run.settings["seeds"], run.settings["batch_size"], run.settings["threads"]) == ([7, 8], 64, 1)
    assert other.settings is None


def test_failed_references_are_read_and_told_apart(contest: Path, tmp_path: Path) -> None:
    assert read_runs([contest])[0].failures["recipe"].to_list() == ["reference oracle", "second"]
    twin = Path(shutil.copytree(contest, tmp_path / "twin"))
    names = [run.failures["recipe"].to_list() for run in read_runs([contest, twin])]
    assert names == [["reference oracle (contest)", "second (contest)"], ["reference oracle (twin)", "second (twin)"]]


def test_what_holds_no_finished_run_is_refused_line_by_line(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    unfinished = Path(shutil.copytree(copy, tmp_path / "unfinished"))
    (unfinished / SUMMARY).unlink()
    nothing = Path(shutil.copytree(copy, tmp_path / "nothing"))
    (nothing / "metrics.jsonl").write_text("")
    torn = Path(shutil.copytree(copy, tmp_path / "torn"))
    (torn / SUMMARY).write_text("{")
    (tmp_path / "some.yaml").write_text("type: infer\n")
    odd = Path(shutil.copytree(copy, tmp_path / "odd"))
    (odd / RECIPE).write_text("- no\n- recipe\n")
    paths = [tmp_path / "lost", tmp_path / "empty", unfinished, nothing, torn, odd, copy, copy, tmp_path / "some.yaml"]
    with pytest.raises(RunDirectoryError) as refusal:
        read_runs(paths)
    lines = str(refusal.value).splitlines()
    words = [
        "no such directory",
        "no recipe.yaml",
        "not finished",
        "holds no episode",
        "cannot be read",
        "no recipe",
        "twice",
        "is a file",
    ]
    assert len(lines) == len(words)
    for path, line, word in zip([*paths[:6], copy, paths[-1]], lines, words, strict=True):
        assert line.startswith(str(path)) and word in line
    assert f"bfmkit run {unfinished / RECIPE} --out {unfinished}" in lines[2]


def test_a_run_without_provenance_is_called_by_its_directory(copy: Path) -> None:
    (copy / PROVENANCE).unlink()
    (run,) = read_runs([copy])
    assert run.name == "copy"
    assert str(copy / RECIPE) in run.command


def test_runs_of_other_jobs_have_no_episodes(copy: Path) -> None:
    (copy / RECIPE).write_text("type: regret\n")
    (run,) = read_runs([copy])
    assert run.results is None
    assert run.job == "regret"
