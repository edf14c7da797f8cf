from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_writes_the_document_and_says_what_no_longer_holds(bfmkit: Callable, tmp_path: Path) -> None:
    template = tmp_path / "page.md.jinja"
    template.write_text('one and one is {{ 1 + 1 }}{{ claim(true, "a") }}\n')
    outcome = bfmkit("fill", template)
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'page.md'}\n")
    assert (tmp_path / "page.md").read_text() == "one and one is 2\n"
    template.write_text('{{ claim(false, "it is three") }}')
    outcome = bfmkit("fill", template, "--to", tmp_path / "other.md")
    assert (outcome.code, outcome.err) == (1, "no longer true: it is three\n")


def test_bad_input_is_refused_in_a_line(bfmkit: Callable, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("{{ x }}")
    for words, reason in (
        ([tmp_path / "lost"], "cannot be read"),
        ([tmp_path / "page"], "--to"),
        ([tmp_path / "page", "--to", tmp_path / "page.md"], "x"),
    ):
        outcome = bfmkit("fill", *words)
        assert outcome.code == 2, words
        assert len(outcome.err.splitlines()) == 1 and reason in outcome.err, outcome.err
    assert not (tmp_path / "page.md").exists()
