"""An argument that takes several kinds of mapping without a type."""

# ruff: noqa: E501  a table of cases reads best with a case a line

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bfmkit.interfaces import Job, QueryRule, Schedule
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.recipe.alternatives import alternatives_at, replaces, takes
from bfmkit.recipe.deferred import Deferred
from bfmkit.testing.registry import registered


@dataclass(frozen=True)
class Span:
    """Settings without a type."""

    low: float
    high: float = 1.0


@dataclass(frozen=True)
class Bell:
    """Others."""

    center: float = 0.0
    width: float = 1.0


class PlainJob(Job):
    """Does nothing."""

    def __init__(
        self,
        range: float | Literal["all"] | Span | Bell = "all",
        ranges: list[Span | Bell] | None = None,
        timing: Schedule | Span | None = None,
        shares: Span | dict[str, float] | None = None,
        pair: tuple[int, Span | Bell] | None = None,
        later: Deferred[QueryRule] | None = None,
    ) -> None:
        self.range, self.timing, self.shares = range, timing, shares

    def run(self, out, device):
        return {}


@pytest.fixture
def folder(toys, here: Path) -> Iterator[Path]:
    with registered(Job, "plain", PlainJob):
        (here / "base.yaml").write_text("type: plain\nrange: {low: 0.2, high: 0.4}\n")
        yield here


def tree(folder: Path, text: str, *overrides: str) -> dict:
    (folder / "mine.yaml").write_text(f"extends: base\n{text}\n")
    return load_recipe("mine.yaml", overrides).tree


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        tree(folder, text, *overrides)
    return list(map(str, caught.value.problems))


def test_another_kind_of_mapping_replaces_the_one_below(folder: Path) -> None:
    assert tree(folder, "range: {width: 2}")["range"] == {"width": 2}
    assert load_recipe("mine").build().range == Bell(width=2.0)
    # In a file, as a whole and key by key, in any order.
    assert tree(folder, "", "range={center: 1, width: 2}")["range"] == {"center": 1, "width": 2}
    for overrides in (("range.center=1", "range.width=2"), ("range.width=2", "range.center=1")):
        assert tree(folder, "", *overrides)["range"] == {"center": 1, "width": 2}
    # Back again, over two layers.
    assert tree(folder, "range: {width: 2}", "range.low=0.3")["range"] == {"low": 0.3}


def test_the_same_kind_of_mapping_merges(folder: Path) -> None:
    assert tree(folder, "range: {high: 0.5}")["range"] == {"low": 0.2, "high": 0.5}
    assert tree(folder, "range: {width: 2}", "range.center=1")["range"] == {"width": 2, "center": 1}
    assert tree(folder, "range: {}")["range"] == {"low": 0.2, "high": 0.4}
    assert tree(folder, "range: 3")["range"] == 3
    assert tree(folder, "shares: {low: 1}", "shares.high=2")["shares"] == {"low": 1, "high": 2}


def test_a_mapping_of_one_s_own_keys_and_a_node_count_as_kinds(folder: Path) -> None:
    assert tree(folder, "shares: {low: 1}", "shares.other=2")["shares"] == {"other": 2}
    assert tree(folder, "timing: {low: 1}", "timing={type: every, steps: 3}")["timing"] == {"type": "every", "steps": 3}
    assert tree(folder, "timing: {type: every, steps: 3}", "timing.low=1")["timing"] == {"low": 1}
    assert tree(folder, "timing: {type: every}", "timing.steps=4")["timing"] == {"type": "every", "steps": 4}


SETS = "(low, high) or (center, width)"


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        # Nobody's words are dropped for others of the same person, whatever their order.
        ("range: {width: 2, low: 1}", [], f"mine.yaml: range: expected the keys {SETS}, got (low, high, width)"),
        ("", ["range={width: 2, low: 1}"], f"command line: range: expected the keys {SETS}, got (low, high, width)"),
        ("", ["range.width=2", "range.low=1"], f"command line: range: expected the keys {SETS}, got (width, low)"),
        ("", ["range.low=1", "range.width=2"], f"command line: range: expected the keys {SETS}, got (low, high, width)"),
        ("range: {widht: 2}", [], f'mine.yaml: range.widht: "range" has no argument "widht"; did you mean "width"? {SETS}'),
        ("", ["range.type=bell"], f'command line: range.type: "range" has no argument "type" {SETS}'),
        ("range: {width: x}", [], 'mine.yaml: range.width: expected a number, got "x"'),
        ("range: {width: 1}", ["range.high=2"], 'command line: range.low: missing; "range" needs a number'),
        ("range: true", [], 'mine.yaml: range: expected a number or "all" or a mapping (low, high) or a mapping (center, width), got true'),
    ],
)  # fmt: skip
def test_what_fits_no_kind_is_refused_and_whoever_said_it_named(
    folder: Path, text: str, overrides: list[str], expected: str
) -> None:
    assert problems(folder, text, *overrides) == [expected]


def test_a_shipped_recipe_s_radius_can_be_of_another_kind(here: Path) -> None:
    radius = "agent.acquisition.confidence_radius"
    (here / "mine.yaml").write_text(
        "extends: opti_bfm_two_stage\nagent: {acquisition: {confidence_radius: {delta: 0.1}}}\n"
    )
    recipes = [load_recipe("mine")]
    recipes += [
        load_recipe("opti_bfm_two_stage", [change]) for change in (f"{radius}={{delta: 0.1}}", f"{radius}.delta=0.1")
    ]
    for recipe in recipes:
        assert recipe.tree["agent"]["acquisition"]["confidence_radius"] == {"delta": 0.1}


def test_types_are_found_through_nodes_lists_and_mappings(folder: Path) -> None:
    recipe = {"type": "plain", "ranges": [{"low": 1}], "shares": {"x": 1}, "pair": [1, {"low": 2}],
              "later": {"type": "toy_pair", "query_rule": {"type": "toy"}}, "timing": {"type": "none"}}  # fmt: skip
    assert alternatives_at(recipe, ("ranges", "0")) == [Span, Bell]
    assert alternatives_at(recipe, ("pair", "1")) == [Span, Bell]
    assert alternatives_at(recipe, ("shares", "x")) == [float]
    assert alternatives_at(recipe, ("later", "query_rule")) == [QueryRule]
    for unknown in (("timing", "type"), ("shares", "x"), ("later", "type")):
        assert QueryRule not in alternatives_at(recipe, unknown)
    assert alternatives_at({"type": 3, "a": {}}, ("a",)) == []


def test_what_fits_nothing_replaces_nothing(toys) -> None:
    assert not replaces([Span, Bell], {"low": 1, "wrong": 2}, {"width": 1})
    assert not replaces([Span, Bell], {"low": 1}, {"width": 1, "wrong": 2})
    assert (
        not takes(float, {"low"})
        and not takes(QueryRule, {"type"})
        and takes(Deferred[QueryRule], {"type", "mode"}, "toy")
    )
