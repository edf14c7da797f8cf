from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr

import bfmkit
from bfmkit.evaluation.diagnostics.features import effective_rank
from bfmkit.evaluation.results import SCHEMA, read_results
from bfmkit.runs.record import Record
from bfmkit.runs.run_directory import RunDirectoryError

DOCS = Path(__file__).parents[3] / "docs"
SCRIPT = DOCS / "fill"


def script_module(name: str) -> Any:
    """A module of the script; its folder is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT))
        return importlib.import_module(name)


def fill_from(template: str, kept: Path, runs: Path | None = None) -> Any:
    return script_module("document").fill(template, kept, runs)


def fill(template: str, runs: Path) -> Any:
    return fill_from(template, runs / "kept", runs)


def run_script(*words: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_writes_the_document_and_says_what_no_longer_holds(tmp_path: Path) -> None:
    template = tmp_path / "page.md.jinja"
    template.write_text('one and one is {{ 1 + 1 }}{{ claim(false, "it is three") }}\n')
    done = run_script(template)
    assert (done.returncode, done.stdout) == (1, f"{tmp_path / 'page.md'}\n")
    assert done.stderr == "no longer true: it is three\n"
    assert (tmp_path / "page.md").read_text() == "one and one is 2\n"


def test_the_script_refuses_bad_input_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("{{ x }}")
    done = run_script(tmp_path / "page", "--to", tmp_path / "page.md")
    assert done.returncode == 2
    assert "x" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "page.md").exists()


@pytest.fixture(scope="module")
def runs(finder: Path, guesser: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for run in (finder, guesser):
        shutil.copytree(run, folder / run.name)
    (folder / "speed.json").write_text(json.dumps({"measured": {"wide.step": 2.5}, "threads": 1}))
    return folder


@pytest.mark.parametrize("page", ["results", "results_models", "results_fine_tuning", "theory"])
def test_a_page_is_what_its_tables_say(page: str) -> None:
    filled = fill_from((DOCS / f"{page}.md.jinja").read_text(encoding="utf-8"), DOCS / page.split("_")[0])
    assert filled.broken == ()
    assert filled.text == (DOCS / f"{page}.md").read_text(encoding="utf-8")
    assert all((DOCS / link).is_file() for link in filled.pictures)


def test_tables_are_kept_of_a_run_and_fill_a_document_without_it(runs: Path, tmp_path: Path) -> None:
    template = '{{ run("finder").mean("task_0", 2) }} {{ run("finder").first_reaching("task_0", -1.0) }}'
    filled = fill_from(template, tmp_path, runs)
    results = read_results(runs / "finder")
    kept = pl.read_csv(tmp_path / "finder.csv", schema=results.schema, missing_columns="insert")
    assert_frame_equal(kept, results, abs_tol=1e-3)
    later = results.filter(pl.col("episode") > 0, pl.col("task") == "task_0")["return"].mean()
    mean, first = filled.text.split(" ", 1)
    assert float(mean) == pytest.approx(later, abs=1e-3)
    assert set(json.loads(first)) == {1}
    assert fill_from(template, tmp_path).text == filled.text
    assert "command" not in json.loads((tmp_path / "finder.json").read_text())["provenance"]


def test_whose_policies_episodes_were_is_kept_where_it_is_known(tmp_path: Path) -> None:
    rows = [
        ("residual", "walk", seed, episode, value, 10, 10, None, None, policy)
        for seed, values in enumerate([(4.0, 1.0, 7.0), (2.0, 3.0, 9.0)])
        for episode, (value, policy) in enumerate(zip(values, ("inferred", "improved", "inferred"), strict=True))
    ]
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    write_kept(tmp_path / "tuned.json", {})
    table.write_csv(tmp_path / "tuned.csv")
    text = '{{ run("tuned").inferred("walk", 2) }}'
    assert fill_from(text, tmp_path).text == "8.0"
    table.drop("policy").write_csv(tmp_path / "tuned.csv")
    with pytest.raises(RunDirectoryError, match="no such episode of walk is of the inferred policy"):
        fill_from(text, tmp_path)


def test_what_long_inference_explains_at_its_end_is_kept_by_seed(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "long"
    brief = ["episodes=50", "environment.episode_steps=10", "oracle_episodes=0", "floor_episodes=0", "seeds=2"]
    bfmkit.run("opti_bfm_two_stage", *brief, "tasks=[walk]", out=out)
    text = '{{ content("long").explained_variance.walk | tojson }}'
    filled = fill_from(text, tmp_path / "kept", tmp_path / "runs")
    assert fill_from(text, tmp_path / "kept").text == filled.text
    bfm = bfmkit.load_model("zoo:walker")
    known = bfm.inference_set()
    environment = bfmkit.make_env("walker", "walk").fitted_to(bfm.environment_spec, "the model")
    rewards = environment.relabel(known["next", "physics"], known["action"], "walk").double()
    features = bfm.features(known["observation"], known["action"], known["next", "observation"]).double()
    for seed, value in enumerate(json.loads(filled.text)):
        weights = Record.load(out / "records" / f"walk-seed-{seed}.safetensors").weights
        unexplained = (rewards - features @ weights).square().sum() / (rewards - rewards.mean()).square().sum()
        assert value == pytest.approx(1 - unexplained.item(), rel=1e-3, abs=1e-3)


def test_of_short_inference_the_leading_share_of_visits_is_kept_by_seed(runs: Path, tmp_path: Path) -> None:
    text = '{{ content("finder").leading_share_of_visits | tojson }}'
    shares = json.loads(fill_from(text, tmp_path, runs).text)
    record = Record.load(runs / "finder" / "records" / "task_2-seed-0.safetensors")
    features, rewards = record.tensors["features"].double(), record.tensors["rewards"]
    values, vectors = torch.linalg.eigh(features.mT @ features / len(features))
    weights = torch.linalg.lstsq(features, rewards).solution
    parts = values * (vectors.mT @ weights).square()
    leading = max(1, round(effective_rank(values) / 2))
    assert shares["task_2"][0] == pytest.approx((parts[-leading:].sum() / parts.sum()).item(), rel=1e-3)
    assert all(len(of_task) == 2 for of_task in shares.values())


def test_where_no_reward_came_while_acting_nothing_is_known_of_visits(runs: Path, tmp_path: Path) -> None:
    """As from a teacher, whose labels come late."""
    shutil.copytree(runs / "finder", tmp_path / "runs" / "taught")
    for path in (tmp_path / "runs" / "taught" / "records").iterdir():
        record = Record.load(path)
        tensors = {name: value for name, value in record.tensors.items() if name not in ("features", "rewards")}
        Record(record.facts, tensors).save(path)
    text = '{{ content("taught").leading_share_of_visits.task_2 | tojson }}'
    assert fill_from(text, tmp_path / "kept", tmp_path / "runs").text == "[null, null]"


def test_a_study_without_episodes_is_kept_and_drawn_without_its_run(tmp_path: Path) -> None:
    bfmkit.run("continuing_regret_tiny", out=tmp_path / "runs" / "endless")
    text = '{{ continuing_picture("endless", "a.png", "Words") }} {{ content("endless").studies | length }}'
    filled = fill_from(text, tmp_path / "kept", tmp_path / "runs")
    assert filled.text == "![Words](a.png) 11"
    assert fill_from(text, tmp_path / "kept").pictures["a.png"].startswith(b"\x89PNG")


def test_values_of_seeds_have_a_mean_with_an_interval(runs: Path) -> None:
    filled = fill("{{ average([1.0, 2.0, 6.0]) }} {{ average([2.0, 2.0]) }}", runs).text
    assert filled == "3.00 [1.00, 6.00] 2.00 [2.00, 2.00]"


def test_means_are_compared_on_the_seeds_that_both_have(runs: Path) -> None:
    filled = fill("{{ ratio_of_means([2.0, 4.0], [1.0, 2.0, 90.0]) }} {{ error_of_mean([1.0, 3.0]) | digits }}", runs)
    assert filled.text == "2.00 [2.00, 2.00] 1.00"


def test_a_study_of_regret_is_kept_with_what_each_seed_lost(tmp_path: Path) -> None:
    bfmkit.run("regret_tiny", out=tmp_path / "runs" / "lost")
    text = '{% set ucb = (content("lost").dims.values() | first).rules.ucb %}{{ ucb.regrets | length == ucb.seeds }}'
    assert fill_from(text, tmp_path / "kept", tmp_path / "runs").text == "True"


def test_an_unfinished_run_renews_nothing(runs: Path, tmp_path: Path) -> None:
    fill_from('{{ run("finder").made }}', tmp_path / "kept", runs)
    before = (tmp_path / "kept" / "finder.csv").read_bytes()
    shutil.copytree(runs / "finder", tmp_path / "torn" / "finder")
    (tmp_path / "torn" / "finder" / "summary.json").unlink()
    (tmp_path / "torn" / "finder" / "metrics.jsonl").write_text("")
    fill_from('{{ run("finder").made }}', tmp_path / "kept", tmp_path / "torn")
    assert (tmp_path / "kept" / "finder.csv").read_bytes() == before


def test_numbers_and_tables_are_those_of_the_runs(runs: Path) -> None:
    text = (
        '{% set both = run("finder", "guesser") %}'
        '{{ both.of("finder").relative_return.value | digits(3) }}\n{{ both.of("guesser").episodes.share }}\n'
        '{{ both.improvement("finder", "guesser").value }}\n{{ both.table(["guesser"], versus="finder") }}\n'
        "{{ both.made }}"
    )
    first, share, better, head, _, row, made = fill(text, runs).text.split("\n")
    told = json.loads((runs / "finder" / "summary.json").read_text())["relative_return"]
    assert float(first) == pytest.approx(told, abs=1e-3)
    assert 0.0 <= float(share) <= 1.0 and 0.0 <= float(better) <= 1.0
    assert head.startswith("| recipe | task_0 | task_2 | all 2 tasks |")
    assert row.startswith("| `guesser` | ") and row.count("|") == head.count("|")
    assert made == "2026-01-02, revision 0123456789 with changes, 1 thread of a Processor"


def test_ratios_are_of_the_same_seeds_and_episodes(runs: Path) -> None:
    ratio = 'run("finder").ratio(run("guesser"), ["task_0", "task_2"], 2)'
    text = f"{{% set r = {ratio} %}}{{{{ r.value }}}} {{{{ r.low }}}} {{{{ r.high }}}}"
    value, low, high = map(float, fill(text, runs).text.split())
    keys, later = ["task", "seed"], pl.col("episode") > 0
    ours, theirs = (
        read_results(runs / name).filter(later).group_by(keys).agg(pl.col("return").mean()).sort(keys)["return"]
        for name in ("finder", "guesser")
    )
    assert value == pytest.approx((ours / theirs).mean(), rel=1e-3)
    assert low <= value <= high


def test_returns_oracle_and_labels_come_by_seed(runs: Path) -> None:
    asked = 'r.by_seed("task_2", 2), r.oracle("task_2"), r.labels("task_2", 1), r.shares_of_oracle("task_2", 2)'
    text = f'{{% set r = run("finder") %}}{{{{ [{asked}] | tojson }}}}'
    returns, oracle, labels, shares = json.loads(fill(text, runs).text)
    rows = read_results(runs / "finder").filter(pl.col("task") == "task_2").sort("seed", "episode")
    later = rows.filter(pl.col("episode") > 0).group_by("seed", maintain_order=True).agg(pl.col("return").mean())
    assert returns == pytest.approx(later["return"].to_list(), abs=1e-3)
    assert oracle == pytest.approx(rows["oracle_return"].mean(), abs=1e-3)
    assert shares == pytest.approx([value / oracle for value in returns])
    assert labels == [f"{count:,}" for count in rows.filter(pl.col("episode") == 0)["labels"].to_list()]


def test_measures_of_models_are_correlated_with_how_well_inference_does(runs: Path, tmp_path: Path) -> None:
    """The better model has the larger fit and the smaller error: correlations of 1 and −1 between models."""
    shutil.copytree(runs, tmp_path / "runs")
    for model, run, fit, error in (("a", "finder", 0.9, 0.1), ("b", "guesser", 0.2, 0.6)):
        (tmp_path / "runs" / run).rename(tmp_path / "runs" / f"inference_{model}")
        numbers = {"reward_fit_task_0": fit, "reward_fit_task_2": fit, "bellman_error": error}
        measures = {name: {"value": value} for name, value in numbers.items()}
        write_kept(tmp_path / "kept" / f"inspect_{model}.json", measures)
    text = (
        '{% set found = predictors(["a", "b"]) %}{{ found.correlation("R² of the task").value }} '
        '{{ found.correlation("Bellman error").value }} {{ found.points | length }} '
        '{{ found.correlation("R² of the task", "episodes").value }}\n{{ found.table() }}\n'
        '{{ predictors_picture(found, "images/x.png", "Measures") }}'
    )
    filled = fill_from(text, tmp_path / "kept", tmp_path / "runs")
    first, *table, picture = filled.text.splitlines()
    fit, error, points, later = map(float, first.split())
    assert fit > 0.8 and error == pytest.approx(-fit) and points == 4 and later < 0
    assert len(table) == 2 + 3 and picture == "![Measures](images/x.png)"


def test_a_rank_correlation_of_a_sample_is_spearmans_with_ties() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 6, 12).astype(float), random.normal(size=12)
    other[3] = other[4]
    counts = random.multinomial(12, np.full(12, 1 / 12), 20)
    expected = [spearmanr(np.repeat(one, count), np.repeat(other, count)).statistic for count in counts]
    assert script_module("predictors")._rank_correlations(one, other, counts) == pytest.approx(expected)


def write_kept(path: Path, measures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"job": "inspect", "failed": 0, "provenance": {}, "measures": measures}))


def test_pictures_are_linked_and_written_beside_the_document(runs: Path, tmp_path: Path) -> None:
    text = '{{ returns_picture(run("finder"), "images/x.png", "By episode") }}'
    filled = fill(text, runs)
    assert filled.text == "![By episode](images/x.png)"
    filled.write(tmp_path / "docs" / "results.md")
    assert (tmp_path / "docs" / "images" / "x.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "docs" / "images").iterdir()] == ["x.png"]


def test_measurements_come_by_name(runs: Path) -> None:
    text = '{{ measured("speed.json")["wide.step"] | digits(1) }} {{ has("speed.json") }} {{ has("lost") }}'
    assert fill(text, runs).text == "2.5 True False"
    table = fill('{{ measured("speed.json").table({"step": "step"}, {"wide": "wide", "slim": "slim"}) }}', runs).text
    assert table.splitlines()[-1] == "| step | 2.50 | – |"


def test_what_is_no_longer_true_is_said(runs: Path) -> None:
    filled = fill('a{{ claim(1 < 2, "one is less") }}b{{ claim(2 < 1, "two is less") }}', runs)
    assert (filled.text, filled.broken) == ("ab", ("two is less",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{{ run("lost") }}', "lost.json: holds nothing of a run"),
        ('{{ run("finder").of("x") }}', "no recipe x; there are finder"),
        ('{{ run("finder").of("finder").task("x") }}', "was not tried on x"),
        ('{{ run("finder").mean("task_0", 99) }}', "has no episodes 99 to None of task_0"),
        ('{{ run("finder").windows() }}', "there is no such table"),
        ('{{ measured("speed.json")["slim.step"] }}', "nothing called slim.step"),
        ('{{ measured("lost.json") }}', "holds no measurements"),
        ("a\n{{ nothing }}", "nothing"),
        ("a\n{% if %}", "line 2"),
        ('{{ "".__class__.__mro__ }}', "unsafe"),
        ("{{ 1 + none }}", "TypeError"),
        ('{{ efficiency_table("finder") }}', "is no run of data_efficiency"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(runs: Path, text: str, reason: str) -> None:
    with pytest.raises(RunDirectoryError, match=reason):
        fill(text, runs)
