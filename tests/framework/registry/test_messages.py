from __future__ import annotations

import pytest

from bfmkit.registry.messages import nearest, one_of, quoted, suggestion


def test_a_misspelling_is_answered_with_the_nearest_choice() -> None:
    choices = ["ridge", "bayesian", "ensemble"]
    assert nearest("rigde", choices) == "ridge"
    assert suggestion("ensembel", choices) == '; did you mean "ensemble"?'
    assert suggestion("lstm", choices) == "" and nearest(3, choices) is None


def test_choices_are_listed() -> None:
    assert one_of(["a", "b"]) == "(a, b)"
    assert one_of([]) == "(there are none)"


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "true"), (None, "nothing"), ("x", '"x"'), ({"a": 1}, "a mapping"), ((1, 2), "a list"), (1e-3, "0.001")],
)
def test_values_are_quoted_as_yaml_has_them(value: object, words: str) -> None:
    assert quoted(value) == words
