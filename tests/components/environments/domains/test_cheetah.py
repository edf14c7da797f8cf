from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dm_control.utils.rewards import tolerance

from bfmkit.components.environments.domains.cheetah import Cheetah


def test_suite_gives_the_same(compare_with_suite: Callable[..., None]) -> None:
    compare_with_suite("cheetah", "run")


@pytest.mark.parametrize(
    ("task", "speed", "sign"), [("walk", 2, 1), ("run", 10, 1), ("walk_backward", 2, -1), ("run_backward", 10, -1)]
)
def test_reward_grows_with_the_speed_in_the_right_direction(task: str, speed: float, sign: float) -> None:
    velocity = np.linspace(-12, 12, 97)
    expected = tolerance(sign * velocity, (speed, np.inf), speed, sigmoid="linear", value_at_margin=0)
    np.testing.assert_allclose(Cheetah.tasks[task]({"horizontal_velocity": velocity}), expected, atol=1e-12)
