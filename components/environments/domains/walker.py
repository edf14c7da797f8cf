"""The planar walker of dm_control's suite, with the flip task of the unsupervised RL benchmark."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from dm_control.mujoco import Physics
from dm_control.suite import walker
from dm_control.suite.utils import randomizers

from bfmkit.components.environments.domains.domain import Domain, Quantities, Reward
from bfmkit.components.environments.domains.tolerance import gaussian_at_least, linear_at_least

STAND_HEIGHT = 1.2  # metres
WALK_SPEED = 1.0  # metres a second
RUN_SPEED = 8.0
FLIP_MOMENTUM = 5.0  # angular momentum of the body about the axis it can turn around, kg m²/s


def stand(quantities: Quantities) -> np.ndarray:
    """The torso is high, and upright."""
    high = gaussian_at_least(quantities["torso_height"], STAND_HEIGHT, margin=STAND_HEIGHT / 2)
    upright = (1 + quantities["torso_upright"]) / 2
    return (3 * high + upright) / 4


def _move(quantities: Quantities, speed: float) -> np.ndarray:
    moving = linear_at_least(quantities["horizontal_velocity"], speed, margin=speed / 2, value_at_margin=0.5)
    return stand(quantities) * (5 * moving + 1) / 6


def walk(quantities: Quantities) -> np.ndarray:
    """Forward at 1 m/s, standing."""
    return _move(quantities, WALK_SPEED)


def run(quantities: Quantities) -> np.ndarray:
    """Forward at 8 m/s, standing."""
    return _move(quantities, RUN_SPEED)


def flip(quantities: Quantities) -> np.ndarray:
    """Turn somersaults: angular momentum forward of at least 5, times the standing reward."""
    turning = linear_at_least(quantities["angular_momentum"], FLIP_MOMENTUM, margin=FLIP_MOMENTUM, value_at_margin=0)
    return stand(quantities) * (5 * turning + 1) / 6


class Walker(Domain):
    """Seven bodies in a plane, six joints. Observation: orientations (14), height (1), velocities (9)."""

    name: ClassVar[str] = "walker"
    control_timestep: ClassVar[float] = 0.025
    quantity_names: ClassVar[tuple[str, ...]] = (
        "torso_height",
        "torso_upright",
        "horizontal_velocity",
        "angular_momentum",
    )
    tasks: ClassVar[dict[str, Reward]] = {"stand": stand, "walk": walk, "run": run, "flip": flip}

    def load(self) -> Physics:
        """The suite's own model."""
        physics = walker.Physics.from_xml_string(*walker.get_model_and_assets())
        self._torso = physics.model.name2id("torso", "body")
        return physics

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """Random joint angles, falling from where the torso happens to be."""
        randomizers.randomize_limited_and_rotational_joints(physics, random)

    def observe(self, physics: Physics) -> np.ndarray:  # (24,)
        """Orientations xx and xz of each body, torso height, joint velocities."""
        data = physics.data
        return np.concatenate((data.xmat[1:, 0:3:2].ravel(), data.xpos[self._torso, 2:], data.qvel))

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Height and uprightness of the torso; velocity of the centre of mass and angular momentum of the body."""
        data, torso = physics.data, self._torso
        # The model's subtree velocity sensor makes MuJoCo fill both subtree arrays.
        return (
            data.xpos[torso, 2],
            data.xmat[torso, 8],
            data.subtree_linvel[torso, 0],
            data.subtree_angmom[torso, 1],
        )


DOMAIN = Walker
