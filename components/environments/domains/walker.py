"""The planar walker of dm_control's suite, with the flip task of the unsupervised RL benchmark."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from dm_control.mujoco import Physics
from dm_control.suite import walker
from dm_control.suite.utils import randomizers

from bfmkit.components.environments.domains.domain import Domain, Quantities, Reward
from bfmkit.components.environments.domains.tolerance import gaussian_at_least, linear_at_least
from bfmkit.rewards.quantity import Quantity

STAND_HEIGHT = 1.2  # metres
WALK_SPEED = 1.0  # metres a second
RUN_SPEED = 8.0
FLIP_MOMENTUM = 5.0  # angular momentum of the body about the axis it can turn around, kg m²/s
RAMP = (10_000, 20_000)  # steps between which speedup and slowdown change their target
TOP_SPEED = 5.0  # metres a second
SPEED_MARGIN = 4.0
LAST_STEP_BEFORE_FLIP = 15_000


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


def _at_speed(quantities: Quantities, target: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(quantities["horizontal_velocity"] - target) / SPEED_MARGIN, 0.0)


def _ramp(quantities: Quantities) -> np.ndarray:
    first, last = RAMP
    return np.minimum(np.maximum((quantities["step"] - first) / (last - first), 0.0), 1.0)


def speedup(quantities: Quantities) -> np.ndarray:
    """Forward at a speed that rises from 0 to 5 m/s, standing or not.

    r = max(0, 1 - |v - 5f| / 4),  f = clip((step - 10,000) / 10,000, 0, 1)
    """
    return _at_speed(quantities, TOP_SPEED * _ramp(quantities))


def slowdown(quantities: Quantities) -> np.ndarray:
    """Forward at a speed that falls from 5 m/s to 0, as :func:`speedup` with 1 - f for f."""
    return _at_speed(quantities, TOP_SPEED * (1 - _ramp(quantities)))


def stand2flip(quantities: Quantities) -> np.ndarray:
    """Stand for 15,000 steps, and flip from then on."""
    return np.where(quantities["step"] <= LAST_STEP_BEFORE_FLIP, stand(quantities), flip(quantities))


def run2flip(quantities: Quantities) -> np.ndarray:
    """Run for 15,000 steps, and flip from then on."""
    return np.where(quantities["step"] <= LAST_STEP_BEFORE_FLIP, run(quantities), flip(quantities))


class Walker(Domain):
    """Seven bodies in a plane, six joints. Observation: orientations (14), height (1), velocities (9)."""

    name: ClassVar[str] = "walker"
    control_timestep: ClassVar[float] = 0.025
    entries: ClassVar[dict[str, int]] = {"orientations": 14, "height": 1, "velocity": 9}
    measured: ClassVar[tuple[Quantity, ...]] = (
        Quantity("torso_height", "m", "of the torso's centre above the ground"),
        Quantity("torso_upright", "1", "cosine between the torso and the vertical: 1 upright, -1 on its head"),
        Quantity("upright", "1", "(1 + torso_upright) / 2: 1 upright, 0 on its head"),
        Quantity("horizontal_velocity", "m/s", "of the centre of mass, forward positive"),
        Quantity("vertical_velocity", "m/s", "of the centre of mass, upward positive"),
        Quantity("angular_momentum", "kg m2/s", "of the whole body, turning forward positive"),
        Quantity("left_foot_height", "m", "of the left foot's centre above the ground"),
        Quantity("right_foot_height", "m", "of the right foot's centre above the ground"),
        Quantity("effort", "1", "mean square of the control, which lies in [-1, 1]"),
    )
    tasks: ClassVar[dict[str, Reward]] = {"stand": stand, "walk": walk, "run": run, "flip": flip}
    changing_tasks: ClassVar[dict[str, Reward]] = {
        "speedup": speedup,
        "slowdown": slowdown,
        "stand2flip": stand2flip,
        "run2flip": run2flip,
    }

    def load(self) -> Physics:
        """The suite's own model."""
        physics = walker.Physics.from_xml_string(*walker.get_model_and_assets())
        self._torso, self._left_foot, self._right_foot = (
            physics.model.name2id(name, "body") for name in ("torso", "left_foot", "right_foot")
        )
        return physics

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """Random joint angles, falling from where the torso happens to be."""
        randomizers.randomize_limited_and_rotational_joints(physics, random)

    def observe(self, physics: Physics) -> np.ndarray:  # (24,)
        """Orientations xx and xz of each body, torso height, joint velocities."""
        data = physics.data
        return np.concatenate((data.xmat[1:, 0:3:2].ravel(), data.xpos[self._torso, 2:], data.qvel))

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Height and uprightness of the torso, motion of the body as a whole, feet, effort."""
        data, torso = physics.data, self._torso
        # The model's subtree velocity sensor makes MuJoCo fill both subtree arrays.
        velocity, upright, control = data.subtree_linvel[torso], data.xmat[torso, 8], data.ctrl
        return (
            data.xpos[torso, 2],
            upright,
            (1 + upright) / 2,
            velocity[0],
            velocity[2],
            data.subtree_angmom[torso, 1],
            data.xpos[self._left_foot, 2],
            data.xpos[self._right_foot, 2],
            control.dot(control) / len(control),
        )


DOMAIN = Walker
