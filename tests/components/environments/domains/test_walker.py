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


@pytest.mark.parametrize(
    ("task", "targets"),
    [("speedup", {1: 0.0, 10_000: 0.0, 12_000: 1.0, 20_000: 5.0, 30_000: 5.0}),
     ("slowdown", {1: 5.0, 10_000: 5.0, 12_000: 4.0, 20_000: 0.0, 30_000: 0.0})],
)  # fmt: skip
def test_target_speed_is_a_function_of_the_step(task: str, targets: dict[int, float]) -> None:
    velocity = np.linspace(-3.0, 8.0, 45)
    for step, target in targets.items():
        expected = tolerance(velocity, (target, target), 2.0, value_at_margin=0.5, sigmoid="linear")
        found = Walker.changing_tasks[task]({"horizontal_velocity": velocity, "step": step})
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("first", ["stand", "run"])
def test_flip_follows_after_half_the_steps(first: str) -> None:
    quantities = {"torso_height": 1.1, "torso_upright": 0.9, "horizontal_velocity": 5.0, "angular_momentum": 2.0}
    found = Walker.changing_tasks[f"{first}2flip"](quantities | {"step": np.array([1, 15_000, 15_001, 30_000])})
    before, after = (Walker.tasks[name](quantities) for name in (first, "flip"))
    np.testing.assert_allclose(found, [before, before, after, after])
    assert before != after


def test_feet_and_uprightness_are_where_they_are_said_to_be() -> None:
    body = Walker()
    physics = body.load()
    with physics.reset_context():
        physics.named.data.qpos["rooty"] = np.pi
        physics.named.data.qpos["left_hip"] = 0.3
        physics.named.data.qvel["rootz"] = -2.0
    physics.set_control([1.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    found = dict(zip(body.quantity_names, body.quantities(physics), strict=True))
    assert found["upright"] == pytest.approx(0.0, abs=1e-9)
    assert found["left_foot_height"] == physics.named.data.xpos["left_foot", "z"]
    assert found["right_foot_height"] == physics.named.data.xpos["right_foot", "z"] != found["left_foot_height"]
    assert found["vertical_velocity"] == pytest.approx(-2.0)
    assert found["effort"] == pytest.approx(1.25 / 6)
