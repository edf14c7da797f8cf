from __future__ import annotations

import pytest

from bfmkit.environments.task_rows import task_rows
from bfmkit.testing.models import ball_spec

SPEC = ball_spec()


def test_names_are_joined_by_plus_and_rewards_are_not_split() -> None:
    assert task_rows(SPEC, "task_0+task_2", None) == ["task_0", "task_2"]
    assert task_rows(SPEC, ["task_0", "x_0 + x_1"], None) == ["task_0", "x_0 + x_1"]
    assert task_rows(SPEC, "task_0", "x_0 + x_1") == ["x_0 + x_1"]


@pytest.mark.parametrize("task", ["task_9", "x_0 + x_1", "task_0+", ""])
def test_a_string_names_tasks_and_nothing_else(task: str) -> None:
    with pytest.raises(ValueError, match="has no task"):
        task_rows(SPEC, task, None)


def test_something_must_be_given() -> None:
    with pytest.raises(ValueError, match="needs a task .*or a reward"):
        task_rows(SPEC, None, None)
