from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bfmkit.recipe.yaml_text import YamlError, read, write

# Letters, digits, signs and spaces of all scripts; YAML itself gives up on some control characters.
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_again(value) -> None:
    again = read(write(value))
    assert again == value
    assert write(again) == write(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1_000", 1000),
        ("-3", -3),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("012", 12),
        ("-012", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("null", None),
        ("", None),
        ('"3"', "3"),
        (".inf", math.inf),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{a: &x {p: 1, q: 2}, b: {q: 3, <<: *x}}", {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
        ("[&x {p: 1}, &y {p: 2, q: 2}, {<<: [*x, *y]}]", [{"p": 1}, {"p": 2, "q": 2}, {"p": 1, "q": 2}]),
        ('{"<<": 1}', {"<<": 1}),
    ],
)
def test_plain_values_mean_what_they_look_like(text: str, value: object) -> None:
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: !!python/object/apply:os.system [ls]", "tag !!python/object/apply:os.system is refused", 1),
        ("a: 1\nb: !mine 3", "tag !mine is refused", 2),
        ("a: !!binary aGk=", "tag !!binary is refused", 1),
        ("a: !!set {b}", "tag !!set is refused", 1),
        ("a: !!int x", '"x" is no int', 1),
        ("!!python/name:os.system : 1", "a key must be a word", 1),
        ("a: 1\nb: 2\na: 3", 'the key "a" is given twice', 3),
        ("? [1]\n: 2", "a key must be a word", 1),
        ("a: &x [*x]", "an alias that contains itself", 1),
        ("a: [", "not YAML", 1),
        ("<<: 3", "<< takes a mapping", 1),
        ("a: 1\n b: 2", "not YAML: mapping values are not allowed here", 2),
        ("a: 1\n---\nb: 2", "not YAML: but found another document", 2),
        ("a: \x00", "not YAML", None),
    ],
)
def test_everything_else_is_refused_with_its_line(text: str, message: str, line: int | None) -> None:
    with pytest.raises(YamlError, match=message.replace("[", "\\[")) as caught:
        read(text)
    assert caught.value.line == line


def test_aliases_do_not_multiply_without_end() -> None:
    laughs = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(YamlError, match="multiplies"):
        read(laughs)


def test_a_text_nested_too_deeply_is_refused() -> None:
    with pytest.raises(YamlError):
        read("[" * 5000 + "]" * 5000)
