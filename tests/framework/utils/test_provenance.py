from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bfmkit.utils.provenance import command_line, git_revision, provenance, versions


def git(folder: Path, *arguments: str) -> str:
    words = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder), *arguments]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_facts_come_with_versions() -> None:
    found = provenance({"seed": 3})
    assert found["seed"] == 3
    assert found["versions"] == versions()
    assert versions()["numpy"][0].isdigit()
    assert "missing" not in versions().values()


def test_the_revision_is_that_of_this_code_and_no_other(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "other.py").write_text("1")
    git(tmp_path, "add", "other.py")
    git(tmp_path, "commit", "-m", "x")
    assert git_revision(tmp_path) is None  # somebody else's repository, with an installed copy somewhere inside
    (tmp_path / "provenance.py").write_text("1")
    git(tmp_path, "add", "provenance.py")
    git(tmp_path, "commit", "-m", "y")
    assert git_revision(tmp_path) == {"revision": git(tmp_path, "rev-parse", "HEAD"), "changed": False}
    (tmp_path / "provenance.py").write_text("2")
    assert git_revision(tmp_path)["changed"] is True


def test_the_command_is_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/bfmkit", "run", "a b", "x=1"])
    assert command_line() == "bfmkit run 'a b' x=1"
    monkeypatch.setattr("sys.argv", ["/somewhere/bfmkit/__main__.py", "list"])
    assert command_line() == "bfmkit list"
