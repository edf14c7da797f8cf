from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.recipe.merging import Layers


def layers(*trees: dict) -> Layers:
    result = Layers()
    for index, tree in enumerate(trees):
        result.lay(tree, f"layer {index}")
    return result


def test_a_node_without_another_type_merges() -> None:
    base = {"a": {"type": "x", "one": 1, "two": 2}, "b": 3}
    assert layers(base, {"a": {"two": 3}}).tree == {"a": {"type": "x", "one": 1, "two": 3}, "b": 3}
    assert layers(base, {"a": {"type": "x", "two": 3}}).tree["a"] == {"type": "x", "one": 1, "two": 3}


def test_a_node_with_another_type_replaces() -> None:
    base = {"a": {"type": "x", "one": 1, "inner": {"type": "y"}}}
    assert layers(base, {"a": {"type": "z", "two": 2}}).tree == {"a": {"type": "z", "two": 2}}


def test_lists_and_plain_values_replace() -> None:
    assert layers({"a": [1, 2], "b": {"c": 1}}, {"a": [3], "b": None}).tree == {"a": [3], "b": None}


def test_what_is_laid_is_copied() -> None:
    base = {"a": {"b": [{"c": 1}]}, "path": Path("x/y"), "pair": (1, 2)}
    result = layers(base)
    result.set(("a", "b", "0", "c"), 2, "later")
    assert base["a"]["b"] == [{"c": 1}]
    assert result.tree == {"a": {"b": [{"c": 2}]}, "path": "x/y", "pair": [1, 2]}


def test_it_remembers_who_said_what() -> None:
    result = layers({"a": {"type": "x", "one": 1}, "b": 2}, {"a": {"two": 2}})
    result.set(("b",), 3, "command line")
    assert result.source_of(("a", "one")) == "layer 0"
    assert result.source_of(("a", "two")) == "layer 1"
    assert result.source_of(("b",)) == "command line"
    assert result.source_of(("a", "missing")) == "layer 0"
    assert result.source_of(("missing",)) == "layer 1"
    assert result.last_word_on(("a",)) == "layer 1"
    assert result.last_word_on(("a", "one")) == "layer 0"
    assert result.last_word_on(()) == "command line"
    result.lay({"a": {"type": "z"}}, "layer 2")
    assert result.source_of(("a", "one")) == "layer 2"


def test_setting_makes_the_way() -> None:
    result = layers({"a": None, "list": [{"type": "x", "old": 1}, 5]})
    result.set(("a", "b", "c"), 1, "")
    result.set(("list", "0", "type"), "y", "")
    result.set(("list", "1"), 6, "")
    assert result.tree == {"a": {"b": {"c": 1}}, "list": [{"type": "y"}, 6]}


@pytest.mark.parametrize("path", ["a.b", "a.b.c", "list.2", "list.x", "list.2.a"])
def test_there_is_no_way_through_a_plain_value(path: str) -> None:
    with pytest.raises(LookupError):
        layers({"a": 3, "list": [1, 2]}).set(tuple(path.split(".")), 1, "")
