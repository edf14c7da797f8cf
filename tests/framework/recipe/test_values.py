from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from bfmkit.interfaces import Posterior
from bfmkit.recipe.values import RecipeValueError, convert, describe
from bfmkit.training.self_collection import SelfCollection
from bfmkit.utils.checks import OpenShare, PositiveInt


class Color(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3), (float, 3, 3.0), (float | None, None, None), (Path, "a/b", Path("a/b")), (str, "3", "3"),
        (list[int], [1, 2], [1, 2]), (tuple[float, ...], [1, 2], (1.0, 2.0)), (dict[str, int], {"a": 1}, {"a": 1}),
        (Literal["a", "b"], "a", "a"), (Any, {"x": [1]}, {"x": [1]}), (Color, "red", Color.RED), (bool, True, True),
    ],
)  # fmt: skip
def test_a_value_becomes_what_the_constructor_wants(annotation: Any, value: object, expected: object) -> None:
    converted = convert(annotation, value)
    assert converted == expected and type(converted) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, True, "expected a whole number, got true"),
        (int, 1.5, "expected a whole number, got 1.5"),
        (int, "3", 'expected a whole number, got "3"'),
        (float, float("nan"), "expected a number, got nan"),
        (bool, "yes", 'expected true or false, got "yes"'),
        (bool, 1, "expected true or false, got 1"),
        (Literal["cosine", "constant"], "cosin", '"cosine", "constant", got "cosin"; did you mean "cosine"?'),
        (PositiveInt, 0, "must be at least 1, got 0"),
        (OpenShare | None, 1.0, "must lie in (0, 1), got 1.0"),
        (list[int], [1, "x"], "expected a list of whole numbers, got a list"),
        (type(test_a_value_becomes_what_the_constructor_wants), 1, "a recipe cannot hold a"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_in_plain_words(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(RecipeValueError) as caught:
        convert(annotation, value)
    assert message in str(caught.value)


def test_types_in_words() -> None:
    assert describe(float | None) == "a number or nothing"
    assert describe(Posterior) == "a posterior (a mapping with a type)"
    assert describe(list[Posterior]) == "a list of posteriors"
    assert describe(SelfCollection) == "a mapping (environment, every, rows, hold, noise)"
    assert describe(Color) == "one of (red)"
