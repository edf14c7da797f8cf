from __future__ import annotations

import pytest

from bfmkit.recipe.merging import Layers
from bfmkit.recipe.resolving import interpolate


def layers(tree: dict) -> Layers:
    made = Layers()
    made.lay(tree, "mine.yaml")
    return made


def test_a_value_keeps_its_type_and_a_part_of_a_text_becomes_text() -> None:
    tree = {"a": {"b": 3, "c": [1, 2]}, "same": "${a.b}", "whole": "${a}", "text": "n=${a.b}", "in_list": ["${a.b}"]}
    resolved, problems = interpolate(layers(tree))
    assert problems == []
    assert resolved["same"] == 3 and resolved["whole"] == {"b": 3, "c": [1, 2]}
    assert resolved["text"] == "n=3" and resolved["in_list"] == [3]


def test_a_chain_is_followed_to_its_end() -> None:
    assert interpolate(layers({"a": "${b}", "b": "${c}", "c": 1.5}))[0] == {"a": 1.5, "b": 1.5, "c": 1.5}


@pytest.mark.parametrize(
    ("tree", "path", "message"),
    [
        ({"a": "${b}", "b": "${a}"}, "a", "it leads back to itself"),
        ({"first": 1, "a": "${fisrt}"}, "a", 'did you mean "first"?'),
        ({"a": "${oc.env:HOME}"}, "a", "only ${path.to.key} of this recipe is allowed"),
        ({"a": ["x", "${b}"]}, "a.1", "this recipe says nothing of the kind"),
    ],
)
def test_what_cannot_be_resolved_is_told_with_its_place(tree: dict, path: str, message: str) -> None:
    resolved, problems = interpolate(layers(tree))
    assert resolved == tree
    assert problems[0].path == path and problems[0].file == "mine.yaml"
    assert message in problems[0].message
