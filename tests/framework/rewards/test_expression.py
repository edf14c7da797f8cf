from __future__ import annotations

import math
import time

import numpy as np
import pytest
from dm_control.utils import rewards
from hypothesis import given
from hypothesis import strategies as st

from bfmkit.rewards.expression import DEEPEST, LONGEST, RewardError, parse_reward, task_title
from bfmkit.rewards.functions import FUNCTIONS, usage

NAMES = ("upright", "horizontal_velocity", "torso_height")
TABLE = {
    "upright": np.linspace(0.0, 1.0, 41),
    "horizontal_velocity": np.linspace(-3.0, 6.0, 41),
    "torso_height": np.linspace(0.2, 1.5, 41),
    "step": np.arange(1, 42),
}
U, V, H, STEP = TABLE.values()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("upright", U),
        ("2", 2.0),
        ("1_000 + 0x10", 1016.0),
        ("2 * upright - horizontal_velocity / 4", 2 * U - V / 4),
        ("-upright ** 2 + +1", 1 - U**2),
        ("torso_height ** -0.5", H**-0.5),
        ("step % 7", STEP % 7),
        ("upright > 0.5", (U > 0.5) * 1.0),
        ("0.2 < upright <= 0.8", ((U > 0.2) & (U <= 0.8)) * 1.0),
        ("not upright > 0.5 or horizontal_velocity >= 5", (~(U > 0.5) | (V >= 5)) * 1.0),
        ("upright > 0.5 and torso_height != 1 and 1 == 1", ((U > 0.5) & (H != 1)) * 1.0),
        ("where(horizontal_velocity > 0, upright, -1)", np.where(V > 0, U, -1.0)),
        ("min(upright, torso_height, 0.7) + max(upright, 0.3)", np.minimum(np.minimum(U, H), 0.7) + np.maximum(U, 0.3)),
        ("clip(horizontal_velocity, lower=-1, upper=1)", np.clip(V, -1, 1)),
        ("ramp(step, 10, 20) + ramp(upright, 1, 0)", np.clip((STEP - 10) / 10, 0, 1) + 1 - U),
        ("abs(horizontal_velocity) * sqrt(upright)", np.abs(V) * np.sqrt(U)),
        ("exp(-torso_height) + log(torso_height)", np.exp(-H) + np.log(H)),
        ("sin(upright) ** 2 + cos(upright) ** 2 + tanh(0)", np.ones(41)),
        ("  \n upright *\n\ttorso_height  ", U * H),
        ("where(upright > 0, log(upright), 0)", np.where(U > 0, np.log(np.where(U > 0, U, 1)), 0)),
    ],
)
def test_means_what_it_says(text: str, expected: np.ndarray) -> None:
    reward = parse_reward(text, NAMES)
    np.testing.assert_allclose(np.broadcast_to(reward(TABLE), (41,)), np.broadcast_to(expected, (41,)), atol=1e-12)
    for index in (0, 17, 40):
        alone = reward({name: column[index].item() for name, column in TABLE.items()})
        assert float(alone) == pytest.approx(float(np.broadcast_to(expected, (41,))[index]), abs=1e-12)


@pytest.mark.parametrize(("lower", "upper"), [(2.0, 3.0), (1.0, 1.0)])
@pytest.mark.parametrize(("margin", "value"), [(0.0, 0.1), (1.0, 0.1), (2.5, 0.4)])
def test_tolerance_is_that_of_dm_control(lower: float, upper: float, margin: float, value: float) -> None:
    arguments = f"margin={margin}, value_at_margin={value}"
    for text, bounds in (
        (f"tolerance(horizontal_velocity, {lower}, {upper}, {arguments})", (lower, upper)),
        (f"at_least(horizontal_velocity, {lower}, {arguments})", (lower, math.inf)),
        (f"at_most(horizontal_velocity, {upper}, {arguments})", (-math.inf, upper)),
    ):
        expected = rewards.tolerance(V, bounds, margin, value_at_margin=value)
        np.testing.assert_allclose(parse_reward(text, NAMES)(TABLE), expected, atol=1e-12)


def test_says_what_it_looks_at() -> None:
    assert parse_reward("upright * min(step, 3)", NAMES).names == {"upright", "step"}
    assert parse_reward("1", NAMES).names == set()


def test_a_formula_without_a_value_is_not_finite_and_warns_of_nothing() -> None:
    for text in ("1 / (upright - upright)", "log(-torso_height)", "exp(9000 * torso_height)", "upright / 0"):
        assert not np.isfinite(parse_reward(text, NAMES)(TABLE)).all()
        assert not math.isfinite(parse_reward(text, NAMES)(dict.fromkeys(TABLE, 0.5)))


REFUSED = [
    ("", 1, "nothing here"),
    (" \n", 1, "nothing here"),
    # Attributes, imports, code.
    ("upright.__class__", 9, "parts"),
    ("upright.__class__.__mro__", 19, "parts"),
    ("(1).real", 5, "parts"),
    ("abs.__globals__", 5, "parts"),
    ("__import__", 1, "no quantity"),
    ("__import__('os').system('true')", 12, "no place"),
    ("__builtins__", 1, "no quantity"),
    ("import os", 1, "cannot be read"),
    ("eval(upright)", 1, 'no function "eval"'),
    ("open(1)", 1, 'no function "open"'),
    ("lambda: 1", 7, "no place"),
    ("lambda", 7, "breaks off"),
    ("(lambda x=1: x)(2)", 12, "no place"),
    ("upright[0]", 8, "no place"),
    ("upright := 2", 9, "no place"),
    ("(upright for upright in upright)", 1, "only names"),
    ("[upright]", 1, "no place"),
    ("{1}", 1, "no place"),
    ("'upright'", 1, "no place"),
    ("f'{upright}'", 2, "no place"),
    ("upright; upright", 8, "no place"),
    ("upright # stand", 9, "no place"),
    ("upright\\n", 8, "no place"),
    ("upright\x00", 8, "no place"),
    ("await upright", 1, "cannot be read|only names"),
    ("yield upright", 1, "cannot be read"),
    ("print(upright)", 1, "no function"),
    # Unicode that Python would read as a name.
    ("ｕpright", 1, "no place"),
    ("uprıght", 4, "no place"),
    ("2 × upright", 3, "say \\*"),
    # Powers and numbers.
    ("9**9**9", 7, "between -8 and 8"),
    ("9**99999999", 4, "between -8 and 8"),
    ("2**-9", 4, "between -8 and 8"),
    ("upright**upright", 10, "between -8 and 8"),
    ("upright**(8+1)", 11, "between -8 and 8"),
    ("upright**(-1)**0.5", 10, "not a finite number"),
    ("nan", 1, "no quantity"),
    ("inf", 1, "no quantity"),
    ("-infinity", 2, "no quantity"),
    ("1e999", 1, "numbers go up to"),
    ("9" * 999, 1, "numbers go up to"),
    ("upright + 1e13", 11, "numbers go up to"),
    ("1e12**8*1e12**8*1e12**8*1e12**8", 1, "not a finite number"),
    ("upright + 1/0", 11, "not a finite number"),
    ("upright + exp(1000)", 11, "not a finite number"),
    ("1j", 1, "not a number"),
    ("True", 1, "not a number"),
    ("None", 1, "not a number"),
    ("...", 1, "not a number"),
    ("0777", 1, "cannot be read"),
    # Size.
    ("upright+" * (LONGEST // 8) + "upright", LONGEST + 1, "at most"),
    ("(" * 400 + "1" + ")" * 400, DEEPEST + 1, "nested"),
    ("-" * 900 + "1", DEEPEST + 1, "nested"),
    ("not " * 200 + "1", 4 * DEEPEST + 1, "nested"),
    ("abs(" * 150 + "1" + ")" * 150, 4 * (DEEPEST + 1), "nested"),
    ("+".join(["1"] * 100), 1, "nested"),
    # Operators and calls.
    ("upright // 2", 9, "operator"),
    ("(upright) @ 2", 11, "no place"),
    ("upright & 1", 9, "say `and`"),
    ("upright << 2", 9, "operator"),
    ("upright ^ 2", 9, r"\*\*"),
    ("upright in upright", 1, "compared"),
    ("upright is upright", 1, "compared"),
    ("upright = 2", 9, "cannot be read"),
    ("upright if upright > 1 else 2", 1, "where"),
    ("upright, upright", 1, r"not several; several tasks are a list, \[walk, run\]"),
    ("max(*upright)", 5, "one by one"),
    ("abs(**upright)", 5, "one by one"),
    ("abs(upright)(2)", 1, "by their name"),
    ("upright(2)", 1, "a quantity, not a function"),
    ("2 (3)", 1, "by their name"),
    ("abs", 1, r"a function: abs\(x\)"),
    ("max(upright)", 1, "two or more"),
    ("max(upright, x=2)", 1, "without names"),
    ("clip(upright, 1)", 1, "upper is missing"),
    ("clip(upright, 1, 2, 3)", 21, "one too many"),
    ("clip(upright, 1, lower=2, upper=3)", 18, "twice"),
    ("clip(upright, 1, uper=2)", 18, 'did you mean "upper"'),
    ("tolerence(upright, 1, 2)", 1, 'did you mean "tolerance"'),
    ("1 + tolerance(upright, 2, 1)", 5, "above"),
    ("1 + tolerance(upright, 1, 2, margin=-1)", 5, "negative"),
    ("at_least(upright, 1, margin=1, value_at_margin=1)", 1, "between 0 and 1"),
    ("tolerance(upright, 1, 2, margin=upright)", 1, "must be a number"),
    ("ramp(upright, 1, 1)", 1, "the same"),
    ("2 * (uprigth + 1)", 6, 'did you mean "upright"'),
    ("  2 *\n uprigth", 8, 'did you mean "upright"'),
    ("2 * (upright", 5, "never closed"),
    ("upright +", 10, "breaks off"),
    ("upright torso_height", 9, "cannot be read"),
]


@pytest.mark.parametrize(("text", "column", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_anything_else_is_refused_with_its_column(text: str, column: int, reason: str) -> None:
    start = time.perf_counter()
    with pytest.raises(RewardError, match=reason) as caught:
        parse_reward(text, NAMES)
    assert caught.value.column == column, caught.value
    assert f"column {column}: " in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.perf_counter() - start < 10, "refusing takes no time"


def column_or_value(text: str) -> int:
    """The column where a text is refused; 1 for one that gives numbers."""
    try:
        reward = parse_reward(text, NAMES)
    except RewardError as refused:
        return refused.column
    assert np.asarray(reward(TABLE), float).shape in ((), (41,))
    return 1


@given(st.text(max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    column = column_or_value(text)
    assert 1 <= column <= len(text) + 1


PIECES = [
    "upright",
    "step",
    "2",
    ".5",
    "(",
    ")",
    "+",
    "-",
    "**",
    "/",
    "<",
    "==",
    "and",
    "not",
    "max",
    "clip",
    "x=",
    ",",
    " ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_no_sequence_of_allowed_words_does_either(pieces: list[str]) -> None:
    text = " ".join(pieces)
    column = column_or_value(text)
    assert 1 <= column <= len(text) + 1


def test_every_function_says_what_it_does() -> None:
    for name, function in FUNCTIONS.items():
        assert function.__doc__
        assert usage(name).startswith(f"{name}(")


def test_a_task_is_called_by_its_name() -> None:
    assert task_title("low = torso_height < 0.8") == "low"
    assert task_title("torso_height == 0.8") == "torso_height == 0.8"
    assert task_title("walk") == "walk"
