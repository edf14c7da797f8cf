from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bfmkit.runs.run_directory import read_metrics
from bfmkit.utils.threads import SPIN_COUNT

BASE = "type: toy\nquery_rule: {type: toy}\n"


@pytest.fixture(autouse=True)
def recipe(toys, here: Path) -> Path:
    (here / "mine.yaml").write_text(BASE)
    return here / "mine.yaml"


def test_a_job_leaves_a_run_directory(bfmkit, here: Path) -> None:
    outcome = bfmkit("run", "mine", "seed=3", "--out", "run", "--device", "cpu", "steps=2", "--threads", 1)
    assert (outcome.code, outcome.out) == (0, "run\n"), outcome.err
    assert json.loads((here / "run" / "summary.json").read_text()) == {"steps": 2, "device": "cpu", "nothing": None}
    provenance = json.loads((here / "run" / "provenance.json").read_text())
    assert (provenance["seed"], provenance["device"], provenance["threads"]) == (3, "cpu", 1)
    assert provenance["recipe"] == "mine.yaml"
    assert "steps: 2" in (here / "run" / "recipe.yaml").read_text()
    assert len(read_metrics(here / "run")) == 2


def test_the_first_line_names_file_directory_and_threads(bfmkit, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    first = [bfmkit("run", "mine", "--out", "run", *words).err.splitlines()[0] for words in ([], [], ["--threads", 1])]
    assert first == [
        "mine (mine.yaml): writing to run; 2 threads (OMP_NUM_THREADS)",
        "mine (mine.yaml): going on with run; 2 threads (as this run began)",
        "mine (mine.yaml): going on with run; 1 thread (--threads)",
    ]


def test_a_tilde_is_the_home_folder_for_options_too(bfmkit, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    assert bfmkit("run", "mine", "--out=~/run").code == 0
    assert (here / "home" / "run" / "summary.json").is_file()
    assert not (here / "~").exists()
    assert bfmkit("copy", "random", "~/copied.yaml").code == 0
    assert (here / "home" / "copied.yaml").is_file()


def test_a_module_of_this_folder_can_be_imported(bfmkit, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "module_of_mine_for_a_test.py").write_text("ANSWER = 42\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(here))])
    assert bfmkit("list", "schedule").code == 0
    assert importlib.import_module("module_of_mine_for_a_test").ANSWER == 42
    assert sys.path[-1] == str(here)


def test_openmp_is_told_how_long_to_wait_before_it_is_loaded(here: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    words = [sys.executable, "-c", "from bfmkit.cli import main; main(['copy', 'random']); import torch"]
    ended = subprocess.run(
        words, env=environment | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, timeout=300
    )
    assert f"GOMP_SPINCOUNT = '{SPIN_COUNT}'" in ended.stderr


def test_the_default_seed_is_in_the_provenance_too(bfmkit, here: Path) -> None:
    bfmkit("run", "mine", "--out", "run")
    assert json.loads((here / "run" / "provenance.json").read_text())["seed"] == 0


def test_the_default_directory_has_the_name_of_the_recipe(bfmkit, here: Path) -> None:
    outcome = bfmkit("run", "mine")
    out = Path(outcome.out.strip())
    assert out.parent == Path("runs")
    assert out.name.startswith("mine-")
    assert (out / "summary.json").exists()


@pytest.mark.parametrize(
    ("ends", "code", "line"),
    [
        ("failed", 1, "bfmkit: the counting came to nothing"),
        ("crash", 1, "bfmkit: failed: ZeroDivisionError: a long story (--debug shows where)"),
        ("interrupt", 130, "bfmkit: interrupted"),
    ],
)
def test_a_bad_end_is_a_line_and_a_code(bfmkit, here: Path, ends: str, code: int, line: str) -> None:
    outcome = bfmkit("run", "mine", f"ends={ends}", "--out", "run")
    assert outcome.code == code
    assert outcome.err.splitlines()[-1] == line
    assert "Traceback" not in outcome.err
    assert (here / "run" / "traceback.txt").exists() == (ends == "crash")
    assert not (here / "run" / "summary.json").exists()
    (here / "run" / "traceback.txt").write_text("of an earlier try")
    shown = bfmkit("run", "mine", f"ends={ends}", "--out", "run", "--debug")
    assert shown.code == code
    assert "Traceback" in shown.err
    assert (here / "run" / "traceback.txt").exists() == (ends == "crash")


def test_an_interrupted_run_says_how_to_go_on_and_does(
    bfmkit, here: Path, toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = toys.Job.run

    def interrupted(job, out: Path, device) -> dict:
        job.steps = 2
        whole(job, out, device)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(toys.Job, "run", interrupted)
        outcome = bfmkit("run", "mine", "name=a b", "--device", "cpu", "--out", "run")
    assert "to go on: bfmkit run mine 'name=a b' --device cpu --out run" in outcome.err
    again = bfmkit("run", "mine", "name=a b", "--out", "run")
    assert again.code == 0
    assert "going on with run" in again.err
    assert read_metrics(here / "run") == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_another_recipe_does_not_go_on_with_a_run(bfmkit, here: Path) -> None:
    bfmkit("run", "mine", "--out", "run")
    before = (here / "run" / "provenance.json").read_text()
    outcome = bfmkit("run", "mine", "seed=4", "--out", "run")
    assert outcome.code == 2
    assert (
        outcome.err
        == "run: holds the run of another recipe; seed was not said there and is 4 here; choose another --out\n"
    )
    assert (here / "run" / "provenance.json").read_text() == before


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("type: toi", [], 'bad.yaml: type: no job "toi"; did you mean "toy"?'),
        (BASE + "stepz: 3", [], 'bad.yaml: stepz: "toy" has no argument "stepz"; did you mean "steps"?'),
        (BASE + "steps: many", [], 'bad.yaml: steps: expected a whole number, got "many"'),
        ("type: toy", [], 'bad.yaml: query_rule: missing; "toy" needs a query_rule'),
        ("type: toy\nquery_rule: {type: toy", [], "bad.yaml: line 2: not YAML"),
        (
            BASE,
            ["query_rule.sise=3"],
            'command line: query_rule.sise: "toy" has no argument "sise"; did you mean "sizes"?',
        ),
        (
            "extends: collect_tiny",
            ["environment.domain=warker"],
            'command line: environment: there is no domain "warker"; did you mean "walker"?',
        ),
        (BASE, ["nowhere.at.all=3"], 'command line: nowhere: "toy" has no argument "nowhere"'),
        ("extends: bad", [], "bad.yaml: extends: a recipe cannot inherit from itself"),
        ("", [], "bad.yaml: the file is empty"),
        ("[type, toy]", [], "bad.yaml: expected a mapping"),
        (BASE + "query_rules: [x]", [], "bad.yaml: query_rules: expected a mapping of query_rules, got a list"),
        (BASE + "name: !!python/object/apply:os.mkdir [oops]", [], "bad.yaml: line 3: the tag"),
        (BASE + "name: ${oc.env:HOME}", [], "bad.yaml: name: "),
        (
            "type: toy\nquery_rule: {type: toy, threshold: -1}",
            [],
            "bad.yaml: query_rule: threshold must be positive, got -1.0",
        ),
        (
            "type: toy\nquery_rule: {type: toy_file, file: nowhere}",
            [],
            "bad.yaml: query_rule: there is no file nowhere",
        ),
        (BASE, ["--device", "toaster"], "--device toaster: not available here"),
        (BASE, ["--device", "cuda:77"], "--device cuda:77: not available here"),
        (BASE, ["--threads", "0"], "--threads: threads must be at least 1"),
        (BASE, ["--out", "bad.yaml"], "bad.yaml: there is something here already"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_written(
    bfmkit, here: Path, text: str, words: list[str], line: str
) -> None:
    (here / "bad.yaml").write_text(text)
    outcome = bfmkit("run", "bad.yaml", *words)
    assert outcome.code == 2
    assert outcome.err.startswith(line)
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert sorted(each.name for each in here.iterdir()) == ["bad.yaml", "mine.yaml"]


def test_a_missing_file_is_refused(bfmkit, here: Path) -> None:
    outcome = bfmkit("run", "nowhere/mine.yaml")
    assert outcome.code == 2
    assert outcome.err.startswith("nowhere/mine.yaml: there is no such file")


def test_several_problems_are_several_lines(bfmkit, here: Path) -> None:
    outcome = bfmkit("run", "mine", "steps=x", "seed=y", "z=1")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 3


def test_a_logger_that_is_not_there_is_refused(bfmkit, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bfmkit.runs.metric_log.find_spec", lambda name: None)
    outcome = bfmkit("run", "mine", "--out", "run", "--logger", "wandb")
    assert (outcome.code, (here / "run").exists()) == (2, False)
    assert "pip install 'bfmkit[wandb]'" in outcome.err
    assert bfmkit("run", "mine", "--out", "run", "--logger", "carrier_pigeon").code == 2


def test_a_job_that_logs_nothing_opens_no_run_elsewhere(bfmkit, here: Path, toys, monkeypatch) -> None:
    from bfmkit.jobs.export import ExportJob
    from bfmkit.jobs.replay_update import ReplayUpdateJob
    from bfmkit.jobs.weights import WeightsJob

    assert not (ExportJob.logs or ReplayUpdateJob.logs or WeightsJob.logs)
    monkeypatch.setattr(toys.Job, "logs", False, raising=False)
    outcome = bfmkit("run", "mine", "--out", "run", "--logger", "wandb")
    assert (outcome.code, outcome.out, (here / "run").exists()) == (2, "", False)
    assert outcome.err == '--logger wandb: the job "toy" logs nothing\n'
    assert bfmkit("run", "mine", "--out", "run").code == 0


def test_a_finished_run_is_gone_on_with_for_longer(bfmkit, here: Path, toys, monkeypatch) -> None:
    monkeypatch.setattr(toys.Job, "extendable", frozenset({"steps"}))
    assert bfmkit("run", "mine", "--out", "run").code == 0
    assert bfmkit("run", "mine", "--out", "run", "steps=7").code == 0
    assert "steps: 7" in (here / "run" / "recipe.yaml").read_text()
    shorter = bfmkit("run", "mine", "--out", "run", "steps=6")
    assert shorter.code == 2
    assert "steps was 7 there and is 6 here" in shorter.err


def test_a_run_is_gone_on_with_whatever_changes_no_result(bfmkit, here: Path, toys, monkeypatch) -> None:
    monkeypatch.setattr(toys.Job, "incidental", frozenset({"rate"}))
    assert bfmkit("run", "mine", "--out", "run", "rate=0.5").code == 0
    assert bfmkit("run", "mine", "--out", "run").code == 0
    assert bfmkit("run", "mine", "--out", "run", "rate=0.1").code == 0
    assert bfmkit("run", "mine", "--out", "run", "rate=0.1", "steps=4").code == 2
