from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.recipe import RecipeError
from bfmkit.recipe.node import Node, plain_copy


class Pair:
    def __init__(self, left: object, right: object = None) -> None:
        self.left, self.right = left, right


class Picky:
    def __init__(self, size: int) -> None:
        raise ValueError(f"size {size} is too large")


class Missing:
    def __init__(self) -> None:
        raise FileNotFoundError("no dataset in runs/x")


def node(cls: type, path: str = "", **arguments: object) -> Node:
    return Node(cls, arguments, {"type": cls.__name__}, "mine.yaml", path)


def test_a_tree_is_built_from_the_leaves() -> None:
    built = node(Pair, left=[node(Pair, left=1)], right={"a": node(Pair, left=2)}).build()
    assert built.left[0].left == 1 and built.right["a"].left == 2


def test_the_spec_goes_to_the_argument_that_asks_for_it() -> None:
    made = Node(Pair, {"right": 3}, {}, spec_argument="left").build("a spec")
    assert (made.left, made.right) == ("a spec", 3)


def test_every_part_that_refuses_is_reported_at_once() -> None:
    broken = node(Pair, left=node(Picky, "left", size=3), right=[node(Missing, "right.0")])
    with pytest.raises(RecipeError) as caught:
        broken.build()
    first, second = caught.value.problems
    assert (first.file, first.path, first.message) == ("mine.yaml", "left", "size 3 is too large")
    assert second.path == "right.0" and second.missing_file and not first.missing_file


def test_a_plain_copy_shares_nothing() -> None:
    tree = {"a": [{"b": 1}], "path": Path("x") / "y", "pair": (1, 2)}
    copy = plain_copy(tree)
    assert copy == {"a": [{"b": 1}], "path": "x/y", "pair": [1, 2]}
    copy["a"][0]["b"] = 2
    assert tree["a"][0]["b"] == 1
