"""Every registered component passes the contract of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.registry import discovery, lookup, names
from bfmkit.registry.kinds import KINDS
from bfmkit.testing.registry import contract_name, untested

TESTS = Path(__file__).parent
OURS = ("bfmkit.components", "bfmkit")


def test_every_component_has_a_contract_test() -> None:
    missing = untested(TESTS, OURS)
    assert not missing, "\n".join(map(str, missing))


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_can_be_imported_and_has_its_name(kind: str) -> None:
    for name in names(kind):
        cls = lookup(KINDS[kind].interface(), name)
        assert cls.__module__.rpartition(".")[2] == name


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_about_a_component_is_visibly_wrong(kind: str) -> None:
    assert [found for found in discovery.find(KINDS[kind].folder) if found.problem] == []
    assert [found for found in discovery.find(KINDS[kind].folder) if not found.summary] == []


COMPONENT = """
from bfmkit.registry import register
@register(QueryRule, "shut")
class ShutQueryRule(QueryRule): ...
"""


@pytest.mark.parametrize(
    ("test", "counts"),
    [
        ("class TestShut(QueryRuleContract):\n    def make(self): return ShutQueryRule()", True),
        (
            "class TestShut(query_rule.QueryRuleContract):\n    def make(self): return query_rules.ShutQueryRule(3)",
            True,
        ),
        (
            "class Shut(QueryRuleContract):\n    def make(self): return ShutQueryRule()\nclass TestShut(Shut): pass",
            True,
        ),
        ("class Shut(QueryRuleContract):\n    def make(self): return ShutQueryRule()", False),
        ("class TestShut(QueryRuleContract):\n    def make(self): return OpenQueryRule()", False),
        ("class TestShut(ScheduleContract):\n    def make(self): return ShutQueryRule()", False),
        ("class TestShut:\n    def make(self): return ShutQueryRule()", False),
        ("class TestShut(QueryRuleContract):\n    def build(self): return ShutQueryRule()", False),
        ("", False),
    ],
)
def test_a_component_without_a_contract_test_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str, counts: bool
) -> None:
    package = f"untested_{abs(hash(test))}"
    (tmp_path / package / "query_rules").mkdir(parents=True)
    (tmp_path / package / "query_rules" / "shut.py").write_text(COMPONENT)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_shut.py").write_text(test)
    monkeypatch.syspath_prepend(tmp_path)
    missing = untested(tmp_path / "tests", (package,))
    assert [str(each.name) for each in missing] == ([] if counts else ["shut"])
    assert counts or contract_name("query_rule") in str(missing[0])
