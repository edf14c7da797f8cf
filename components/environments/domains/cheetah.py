"""The planar cheetah of dm_control's suite, walking and running both ways."""

from __future__ import annotations

import logging
from functools import partial
from typing import ClassVar

import numpy as np
from dm_control.mujoco import Physics
from dm_control.suite import cheetah

from bfmkit.components.environments.domains.domain import Domain, Quantities, Reward
from bfmkit.components.environments.domains.tolerance import linear_at_least
from bfmkit.rewards.quantity import Quantity

WALK_SPEED = 2.0  # metres a second
RUN_SPEED = 10.0
SETTLING_STEPS = 200  # physics steps before an episode starts


def move(quantities: Quantities, velocity: float) -> np.ndarray:
    """In proportion to the speed in the direction of ``velocity``, up to its size."""
    speed = abs(velocity)
    forward = quantities["horizontal_velocity"] * (velocity / speed)
    return linear_at_least(forward, speed, margin=speed, value_at_margin=0)


class Cheetah(Domain):
    """Seven bodies in a plane, six joints. Observation: positions but the horizontal one (8), velocities (9)."""

    name: ClassVar[str] = "cheetah"
    control_timestep: ClassVar[float] = 0.01
    entries: ClassVar[dict[str, int]] = {"position": 8, "velocity": 9}
    measured: ClassVar[tuple[Quantity, ...]] = (
        Quantity("horizontal_velocity", "m/s", "of the centre of mass, forward positive"),
        Quantity("vertical_velocity", "m/s", "of the centre of mass, upward positive"),
        Quantity("torso_height", "m", "of the torso's frame above the ground"),
        Quantity("torso_upright", "1", "cosine between the torso's z-axis and the vertical: 1 upright, -1 on its back"),
        Quantity("angular_momentum", "kg m2/s", "of the whole body about the axis it can turn around"),
        Quantity("effort", "1", "mean square of the control, which lies in [-1, 1]"),
    )
    tasks: ClassVar[dict[str, Reward]] = {
        "walk": partial(move, velocity=WALK_SPEED),
        "run": partial(move, velocity=RUN_SPEED),
        "walk_backward": partial(move, velocity=-WALK_SPEED),
        "run_backward": partial(move, velocity=-RUN_SPEED),
    }

    def load(self) -> Physics:
        """The suite's own model."""
        compiler = logging.getLogger("absl")
        compiler.addFilter(_is_news)
        try:
            physics = cheetah.Physics.from_xml_string(*cheetah.get_model_and_assets())
        finally:
            compiler.removeFilter(_is_news)
        self._torso = physics.model.name2id("torso", "body")
        return physics

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """Random joint angles, then time to settle on the ground."""
        limited = physics.model.jnt_limited == 1
        lower, upper = physics.model.jnt_range[limited].T
        physics.data.qpos[limited] = random.uniform(lower, upper)
        physics.step(SETTLING_STEPS)
        physics.data.time = 0

    def observe(self, physics: Physics) -> np.ndarray:  # (17,)
        """Joint positions without the horizontal one, joint velocities."""
        return np.concatenate((physics.data.qpos[1:], physics.data.qvel))

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Motion of the body as a whole, height and uprightness of the torso, effort."""
        data, torso = physics.data, self._torso
        # The model's subtree velocity sensor makes MuJoCo fill both subtree arrays.
        velocity, control = data.subtree_linvel[torso], data.ctrl
        return (
            velocity[0],
            velocity[2],
            data.xpos[torso, 2],
            data.xmat[torso, 8],
            data.subtree_angmom[torso, 1],
            control.dot(control) / len(control),
        )


def _is_news(record: logging.LogRecord) -> bool:
    """MuJoCo deprecates an attribute that the suite's model uses; users can do nothing about it."""
    return "settotalmass" not in record.getMessage()


DOMAIN = Cheetah
