from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def study(tmp_path: Path) -> Path:
    run = tmp_path / "study"
    run.mkdir()
    (run / "recipe.yaml").write_text("type: regret\ndims: [2]\n")
    (run / "summary.json").write_text('{"episodes": 40}')
    return run


def test_writes_the_page_and_says_where(
    bfmkit: Callable, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = bfmkit("report", study)
    assert (outcome.code, outcome.out) == (0, "report.html\n")
    assert "study" in (tmp_path / "report.html").read_text()
    # There is no table to write: a study of regret has no episodes.
    assert not (tmp_path / "report.md").exists() and not (tmp_path / "report.tex").exists()
    outcome = bfmkit("report", study, "--out", tmp_path / "deep" / "page.html")
    assert outcome.code == 0
    assert (tmp_path / "deep" / "page.html").is_file()


def test_bad_input_is_refused_in_a_line(bfmkit: Callable, study: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for words, reason in (
        ([tmp_path / "empty"], "no run directory"),
        ([tmp_path / "lost"], "no such directory"),
        ([tmp_path / "file"], "is a file"),
        ([study, study], "given twice"),
        ([study, "--out", tmp_path], "is a folder"),
        ([study, "--out", tmp_path / "file" / "x.html"], "cannot be written"),
        ([study, "--out", tmp_path / f"{'x' * 300}.html"], "cannot be written"),
        ([study, "--out", tmp_path / "report.md"], "names the page"),
        ([study, "--videos", "-1"], "negative"),
        ([study, "--labels", "opti_bfm"], "NAME=LABEL"),
        ([study, "--formats", "jpg"], "pdf and svg"),
        ([study, "--width", "0"], "width must be between 0 and 100.0 inches"),
        ([study, "--panel-height", "-1"], "panel_height must be"),
        ([study, "--recipes", "nobody"], "no run has the recipe nobody"),
        ([study, "--tasks", "fly"], "no run has the task fly"),
    ):
        outcome = bfmkit("report", *words)
        assert outcome.code == 2, words
        assert len(outcome.err.splitlines()) == 1, outcome.err
        assert reason in outcome.err
    (study / "summary.json").unlink()
    outcome = bfmkit("report", study, "--out", tmp_path / "x.html")
    assert outcome.code == 2
    assert "not finished" in outcome.err
    assert not (tmp_path / "x.html").exists()
