import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bfmkit.cli.main import main
from bfmkit.evaluation.results import read_results
from bfmkit.runs.run_directory import RunDirectoryError

DOCS = Path(__file__).parents[2] / "docs"

TINY = """
type: benchmark
recipes: [opti_bfm, random]
tasks: [random_0, random_3]
seeds: 2
episodes: 2
overrides:
  - "bfm={type: tabular, pool: 6, mdp: {layout: random, size: 6, dim: 3}}"
  - "environment={type: tabular, task: random_0, episode_steps: 20, mdp: {layout: random, size: 6, dim: 3}}"
"""


@pytest.fixture(scope="module")
def fill():
    sys.path.insert(0, str(DOCS / "fill"))
    import document

    yield document.fill
    sys.path.remove(str(DOCS / "fill"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run, ``tiny``."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["run", str(folder / "tiny.yaml"), "--out", str(folder / "tiny"), "--threads", "1"]) == 0
    return folder


def test_the_page_of_results_is_what_its_tables_say(fill) -> None:
    filled = fill((DOCS / "results.md.jinja").read_text(encoding="utf-8"), DOCS / "results")
    assert filled.broken == ()
    assert filled.text == (DOCS / "results.md").read_text(encoding="utf-8")
    assert all((DOCS / link).is_file() for link in filled.pictures)


def test_tables_are_kept_of_a_run_and_fill_a_document_without_it(fill, runs: Path, tmp_path: Path) -> None:
    template = (
        '{% set tiny = run("tiny") %}'
        '{{ tiny.mean("random_0", 2) }} {{ tiny.ratio(tiny, "random_3").value }} {{ tiny.failed }} {{ tiny.made }}'
    )
    filled = fill(template, tmp_path, runs)
    results = read_results(runs / "tiny")
    assert_frame_equal(pl.read_csv(tmp_path / "tiny.csv", schema=results.schema), results, abs_tol=1e-3)
    expected = results.filter(recipe="opti_bfm", task="random_0", episode=1)["return"].mean()
    mean, ratio, failed = filled.text.split()[:3]
    assert float(mean) == pytest.approx(expected, abs=1e-3)
    assert (float(ratio), failed) == (1.0, "0")
    assert fill(template, tmp_path).text == filled.text


def test_claims_that_do_not_hold_are_named(fill, runs: Path, tmp_path: Path) -> None:
    template = '{{ claim(run("tiny").failed == 0, "none failed") }}{{ claim(run("tiny").failed > 0, "some failed") }}'
    assert fill(template, tmp_path, runs).broken == ("some failed",)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{{ run("gone").made }}', r"gone.json: holds nothing of a run"),
        ('{{ run("tiny").of("greedy").oracle }}', "has no recipe greedy; there are opti_bfm, random"),
        ('{{ run("tiny").mean("random_0", 5) }}', "has no episodes 5 to None of random_0"),
        ('{{ run("tiny").windows() }}', "there is no such table"),
        ("{{ nothing }}", "'nothing' is undefined"),
    ],
)
def test_what_a_template_asks_for_in_vain_is_named(fill, runs: Path, tmp_path: Path, template: str, words: str) -> None:
    with pytest.raises(RunDirectoryError, match=words):
        fill(template, tmp_path, runs)


def test_an_unfinished_run_renews_nothing(fill, runs: Path, tmp_path: Path) -> None:
    fill('{{ run("tiny").made }}', tmp_path / "data", runs)
    before = (tmp_path / "data" / "tiny.csv").read_bytes()
    shutil.copytree(runs / "tiny", tmp_path / "torn" / "tiny")
    (tmp_path / "torn" / "tiny" / "summary.json").unlink()
    fill('{{ run("tiny").made }}', tmp_path / "data", tmp_path / "torn")
    assert (tmp_path / "data" / "tiny.csv").read_bytes() == before
