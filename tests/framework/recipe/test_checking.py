"""Settings of several kinds in one place, told apart by their ``type``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bfmkit.interfaces import Job
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.testing.registry import registered
from bfmkit.utils.checks import PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Span:
    low: float
    high: float = 1.0
    type: Literal["span"] = "span"


@dataclass(frozen=True)
class Bell:
    center: float = 0.0
    width: PositiveFloat = 1.0
    type: Literal["bell"] = "bell"


class PlainJob(Job):
    """Does nothing."""

    def __init__(self, range: PositiveFloat | Literal["all"] | Span | Bell = "all", count: PositiveInt = 1) -> None:
        self.range = range

    def run(self, out, device):
        return {}


@pytest.fixture
def folder(here: Path) -> Iterator[Path]:
    with registered(Job, "plain", PlainJob):
        (here / "base.yaml").write_text("type: plain\nrange: {type: span, low: 0.2, high: 0.4}\n")
        yield here


def load(folder: Path, text: str, *overrides: str) -> object:
    (folder / "mine.yaml").write_text(f"extends: base\n{text}\n")
    return load_recipe("mine.yaml", overrides).build().range


def test_another_type_replaces_and_the_same_merges(folder: Path) -> None:
    assert load(folder, "range: {type: bell, width: 2}") == Bell(width=2.0)
    assert load(folder, "", "range.type=bell", "range.width=2") == Bell(width=2.0)
    assert load(folder, "range: {high: 0.5}") == Span(0.2, 0.5)
    assert load(folder, "range: 3") == 3.0


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("range: {width: 2}", [], ['mine.yaml: range.width: "range" has no argument "width" (low, high, type)']),
        (
            "range: {type: bel}",
            [],
            ['mine.yaml: range.type: no such range: "bel"; did you mean "bell"? (span, bell)'],
        ),
        ("", ["range={width: 2, low: 1, type: null}"], ["missing; it says which one it is (span, bell)"]),
        ("range: {type: bell, width: x}", [], ['mine.yaml: range.width: expected a number, got "x"']),
        (
            "range: {type: bell, width: -1}\ncount: 0",
            [],
            [
                "mine.yaml: range.width: must be positive and finite, got -1",
                "mine.yaml: count: must be at least 1, got 0",
            ],
        ),
        ("range: -2", [], ["mine.yaml: range: must be positive and finite, got -2"]),
    ],
)
def test_what_fits_none_is_refused_and_all_problems_are_said(
    folder: Path, text: str, overrides: list[str], expected: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, *overrides)
    problems = list(map(str, caught.value.problems))
    assert len(problems) == len(expected)
    for problem, end in zip(problems, expected, strict=True):
        assert problem.endswith(end)
