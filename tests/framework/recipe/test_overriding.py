from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bfmkit.interfaces import Job, QueryRule
from bfmkit.recipe import load_recipe
from bfmkit.recipe.deferred import Deferred
from bfmkit.testing.registry import registered


class NestedJob(Job):
    """Does nothing."""

    def __init__(
        self,
        names: list[str] | None = None,
        pair: tuple[int, str] | None = None,
        words: dict[str, str] | None = None,
        later: Deferred[QueryRule] | None = None,
    ) -> None:
        pass

    def run(self, out, device):
        return {}


@pytest.fixture
def recipe(toys, here: Path) -> Iterator[str]:
    with registered(Job, "nested", NestedJob):
        (here / "nested.yaml").write_text(
            "type: nested\nnames: [a, b]\npair: [1, x]\nwords: {k: v}\nlater: {type: toy}\n"
        )
        yield "nested.yaml"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        # Where text is wanted, what looks like a number stays text, whatever it lies in.
        ("names.0=012", ("names", 0), "012"),
        ("pair.1=3", ("pair", 1), "3"),
        ("pair.0=3", ("pair", 0), 3),
        ("words.k=1e3", ("words", "k"), "1e3"),
        ("words.new=true", ("words", "new"), "true"),
        ("later.threshold=2", ("later", "threshold"), 2),
        ('names.0="x"', ("names", 0), "x"),
    ],
)
def test_a_value_is_read_as_its_place_wants_it(recipe: str, override: str, path: tuple, value: object) -> None:
    found = load_recipe(recipe, [override]).tree
    for key in path:
        found = found[key]
    assert found == value
    assert type(found) is type(value)
