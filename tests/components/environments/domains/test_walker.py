from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dm_control.utils.rewards import tolerance

from bfmkit.components.environments.domains.walker import Walker


@pytest.mark.parametrize("task", ["stand", "walk", "run"])
def test_suite_gives_the_same(compare_with_suite: Callable[..., None], task: str) -> None:
    compare_with_suite("walker", task)


def test_flip_is_standing_times_angular_momentum() -> None:
    height, upright, momentum = np.meshgrid([0.3, 0.9, 1.2, 1.5], [-1.0, 0.2, 1.0], [-6.0, 0.0, 2.5, 5.0, 7.0])
    quantities = {"torso_height": height, "torso_upright": upright, "angular_momentum": momentum}
    standing = (3 * tolerance(height, (1.2, np.inf), 0.6) + (1 + upright) / 2) / 4
    turning = tolerance(momentum, (5, np.inf), 5, sigmoid="linear", value_at_margin=0)
    expected = standing * (5 * turning + 1) / 6
    np.testing.assert_allclose(Walker.tasks["flip"](quantities), expected, atol=1e-12)


def test_angular_momentum_is_that_of_the_whole_body_about_the_axis_it_turns_around() -> None:
    body = Walker()
    physics = body.load()
    # In the air, all joints still: the body turns as one about its centre of mass.
    with physics.reset_context():
        physics.named.data.qpos["rootz"] = 3.0
        physics.named.data.qvel["rooty"] = 2.0
    found = dict(zip(body.quantity_names, body.quantities(physics), strict=True))
    centre = physics.data.subtree_com[1]
    momentum = 0.0
    for index in range(1, physics.model.nbody):
        arm = physics.data.xipos[index] - centre
        inertia = physics.data.ximat[index].reshape(3, 3) @ np.diag(physics.model.body_inertia[index])
        inertia = inertia @ physics.data.ximat[index].reshape(3, 3).T
        spin = np.array([0.0, 2.0, 0.0])
        momentum += (inertia @ spin + physics.model.body_mass[index] * np.cross(arm, np.cross(spin, arm)))[1]
    assert momentum > 1
    assert found["angular_momentum"] == pytest.approx(momentum, abs=1e-9)
