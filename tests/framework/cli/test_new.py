"""What ``bfmkit new`` writes works as it is: its tests pass, the list has it, recipes can name it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bfmkit.cli.new import _CLASS_ENDINGS as TEMPLATES
from bfmkit.registry import discovery
from bfmkit.registry.kinds import KINDS

NETWORKS = {"type": "two_stream", "width": 8}
ARGUMENTS: dict[str, dict] = {kind: {} for kind in TEMPLATES} | {
    "bfm": {"networks": NETWORKS},
    "objective": {"bfm": {"type": "universal_sf", "features": {"type": "identity"}, "networks": NETWORKS}},
    "dataset": {"path": "mine.npz"},
    "job": {
        "bfm": {"type": "checkpoint", "path": "zoo:walker"},
        "environment": {"type": "dm_control", "domain": "walker", "task": "walk"},
        "agent": {"type": "my_agent"},
    },
}
"""What a recipe's node of each kind must say beside its type."""
TRANSITIONS = {
    **dict.fromkeys(("observation", "action", "next_observation", "physics"), np.zeros((3, 2))),
    **dict.fromkeys(("terminated", "truncated"), np.zeros(3, dtype=bool)),
}


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process forget the plugins that are written here."""
    monkeypatch.setattr(discovery, "_project_packages", [])
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_every_template_passes_its_contract_and_can_be_used(bfmkit, here: Path, no_project: None) -> None:
    for kind in TEMPLATES:
        outcome = bfmkit("new", kind, f"my_{kind}")
        assert outcome.code == 0, outcome.err
        assert f"{{type: my_{kind}}}" in outcome.out
    tested = python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=here)
    assert tested.returncode == 0, tested.stdout
    assert int(re.search(r"(\d+) passed", tested.stdout)[1]) > 5 * len(TEMPLATES), tested.stdout  # type: ignore[index]
    assert (
        "All checks passed"
        in python("-m", "ruff", "check", "--select", "E,F,I", "--line-length", "120", ".", cwd=here).stdout
    )
    np.savez(here / "mine.npz", **TRANSITIONS)
    check = (
        "import bfmkit\n"
        "print(*(each.name for each in bfmkit.list_components('query_rule')))\n"
        "from bfmkit.registry.kinds import KINDS\n"
        "from bfmkit.recipe import build_node\n"
        "from bfmkit.testing.models import ball_spec\n"
        f"for kind, arguments in {ARGUMENTS!r}.items():\n"
        "    node = {'type': f'my_{kind}', **arguments}\n"
        "    print(type(build_node(KINDS[kind].interface(), node, spec=ball_spec())).__name__)\n"
    )
    built = python("-c", check, cwd=here)
    listed, *classes = built.stdout.splitlines()
    # Python knows a folder's plugin as the command line does.
    assert "my_query_rule" in listed.split()
    assert classes == [f"My{_camel(kind)}{TEMPLATES[kind]}" for kind in ARGUMENTS], built.stderr
    again = bfmkit("new", "query_rule", "my_query_rule")
    assert (again.code, again.err) == (2, 'there is a query_rule "my_query_rule" already\n')


def test_every_kind_has_a_template() -> None:
    assert set(TEMPLATES) == set(KINDS)


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def test_a_second_component_goes_where_the_first_went(bfmkit, here: Path, no_project: None) -> None:
    assert bfmkit("new", "query_rule", "one", "--package", "lab.parts").code == 0
    outcome = bfmkit("new", "schedule", "two")
    assert outcome.code == 0, outcome.err
    assert (here / "lab" / "parts" / "query_rules" / "one.py").exists()
    assert (here / "lab" / "parts" / "schedules" / "two.py").exists()
    assert (here / "lab" / "__init__.py").exists()
    assert "[lab.parts]" in bfmkit("list", "query_rule").out


def test_somebody_elses_pyproject_is_not_touched(bfmkit, here: Path, no_project: None) -> None:
    (here / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    outcome = bfmkit("new", "query_rule", "mine")
    assert outcome.code == 0
    assert '[project.entry-points."bfmkit.components"]' in outcome.out
    assert (here / "pyproject.toml").read_text() == "[project]\nname = 'mine'\n"


def test_in_our_own_checkout_it_goes_among_our_own(bfmkit, here: Path, no_project: None) -> None:
    (here / "framework").mkdir()
    (here / "framework" / "registry").mkdir()
    (here / "components").mkdir()
    assert bfmkit("new", "query_rule", "mine").code == 0
    assert (
        "from bfmkit.components.query_rules.mine import MineQueryRule"
        in (here / "tests/components/query_rules/test_mine.py").read_text()
    )
    assert (here / "components" / "query_rules" / "mine.py").exists()
    assert not (here / "pyproject.toml").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["query_rul", "x"], 'no kind "query_rul"; did you mean "query_rule"?'),
        (["query_rule", "Wide-Open"], '"Wide-Open" is not a component name: use lower_snake_case'),
        (["query_rule", "class"], '"class" is not a component name'),
        (["query_rule", "always"], 'there is a query_rule "always" already'),
        (["query_rule", "x", "--package", "a-b"], '--package: "a-b" is not the name of a Python package'),
    ],
)
def test_what_makes_no_sense_is_refused(bfmkit, here: Path, no_project: None, words: list[str], line: str) -> None:
    outcome = bfmkit("new", *words)
    assert outcome.code == 2
    assert outcome.err.startswith(line)
    assert list(here.iterdir()) == []


def test_nothing_is_overwritten(bfmkit, here: Path, no_project: None) -> None:
    (here / "tests" / "query_rules").mkdir(parents=True)
    (here / "tests" / "query_rules" / "test_x.py").write_text("mine")
    outcome = bfmkit("new", "query_rule", "x")
    assert (outcome.code, outcome.err) == (2, "tests/query_rules/test_x.py: is there already\n")
    assert not (here / "my_components").exists()


def test_it_says_what_the_test_needs_where_that_is_missing(
    bfmkit, here: Path, no_project: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pip install pytest" not in bfmkit("new", "schedule", "first").out
    monkeypatch.setattr("bfmkit.cli.new.find_spec", lambda name: None)
    assert f"{sys.executable} -m pip install pytest mpmath" in bfmkit("new", "schedule", "second").out
