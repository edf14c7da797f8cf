from __future__ import annotations

import pytest

from bfmkit.rewards.expression import RewardError
from bfmkit.testing.models import ball_spec

SPEC = ball_spec(3)


def test_a_named_reward_is_its_formula() -> None:
    reward = SPEC.typed_reward("high = 2 * x_1")
    assert reward is not None
    assert reward({"x_1": 3.0}) == 6.0
    assert SPEC.typed_reward("task_1") is None


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("x_1 = 2", 'column 1: "x_1" is a quantity; a comparison is written =='),
        ("step = 2", 'column 1: "step" is a quantity'),
        ("task_0 = x_1", 'column 1: ball has a task "task_0" already'),
        ("high = 2 * x_7", "column 12: "),
        ("high = ", "there is nothing here"),
        ("high = low = x_1", "column "),
        ("task_7", 'ball has no task "task_7"'),
    ],
)
def test_a_reward_that_is_none_is_refused(task: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        SPEC.require_task(task)
    assert words in str(caught.value)
    assert task.split("=")[0].strip() in str(caught.value)


def test_columns_are_those_of_what_was_typed() -> None:
    with pytest.raises(RewardError) as caught:
        SPEC.require_task("high = 2 * x_7")
    assert "high = 2 * x_7"[caught.value.column - 1 :] == "x_7"
