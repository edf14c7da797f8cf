from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dm_control.suite import common, quadruped
from dm_control.utils.rewards import tolerance

from bfmkit.components.environments.domains.quadruped import Quadruped


@pytest.mark.parametrize("task", ["walk", "run"])
def test_suite_gives_the_same(compare_with_suite: Callable[..., None], task: str) -> None:
    compare_with_suite("quadruped", task)


def test_stand_and_jump_are_as_defined() -> None:
    upright, height = np.meshgrid([-1.0, -0.4, 0.5, 1.0], [0.1, 0.5, 0.9, 1.0, 1.3])
    quantities = {"torso_upright": upright, "centre_of_mass_height": height}
    standing = (1 + upright) / 2
    high = tolerance(height, (1, np.inf), 1, sigmoid="linear", value_at_margin=0.5)
    np.testing.assert_allclose(Quadruped.tasks["stand"](quantities), standing, atol=1e-12)
    np.testing.assert_allclose(Quadruped.tasks["jump"](quantities), standing * high, atol=1e-12)


def test_quantities_are_what_the_models_sensors_read() -> None:
    body = Quadruped()
    physics = body.load()
    with physics.reset_context():
        body.initialize(physics, np.random.RandomState(0))
    physics.step(60)
    found = dict(zip(body.quantity_names, body.quantities(physics), strict=True))
    assert found["centre_of_mass_height"] == pytest.approx(physics.named.data.sensordata["center_of_mass"][2])
    assert found["forward_velocity"] == physics.torso_velocity()[0] != 0
    assert found["torso_upright"] == physics.torso_upright()


def test_starts_at_the_least_height_without_contact() -> None:
    body = Quadruped()
    physics = body.load()
    for seed in range(3):
        with physics.reset_context():
            body.initialize(physics, np.random.RandomState(seed))
        assert physics.data.ncon == 0
        with physics.reset_context():
            body.initialize(physics, np.random.RandomState(seed))
            physics.data.qpos[2] -= 0.01
        assert physics.data.ncon > 0


def test_floor_is_that_of_no_task_in_particular() -> None:
    # The suite draws a floor for each speed. Only the drawing differs: the plane itself has no end.
    near, far = (
        quadruped.Physics.from_xml_string(quadruped.make_model(floor_size=size), common.ASSETS) for size in (10, 100)
    )
    for physics in (near, far):
        with physics.reset_context():
            physics.data.qpos[:3] = 30.0, 30.0, 0.6
        physics.step(200)
    np.testing.assert_allclose(near.data.qpos, far.data.qpos, atol=1e-9)
