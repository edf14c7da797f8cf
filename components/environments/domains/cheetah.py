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
    quantity_names: ClassVar[tuple[str, ...]] = ("horizontal_velocity",)
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
        """Velocity of the centre of mass."""
        # The model's subtree velocity sensor makes MuJoCo fill this array.
        return (physics.data.subtree_linvel[self._torso, 0],)


def _is_news(record: logging.LogRecord) -> bool:
    """MuJoCo deprecates an attribute that the suite's model uses; users can do nothing about it."""
    return "settotalmass" not in record.getMessage()


DOMAIN = Cheetah
