"""The quadruped of dm_control's suite, with the stand and jump tasks of the unsupervised RL benchmark."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from dm_control.mujoco import Physics
from dm_control.mujoco.wrapper.mjbindings import enums
from dm_control.rl.control import PhysicsError
from dm_control.suite import common, quadruped

from bfmkit.components.environments.domains.domain import Domain, Quantities, Reward
from bfmkit.components.environments.domains.tolerance import linear_at_least
from bfmkit.rewards.quantity import Quantity

WALK_SPEED = 0.5  # metres a second
RUN_SPEED = 5.0
JUMP_HEIGHT = 1.0  # metres, of the centre of mass
FLOOR_SIZE = 100.0  # metres; only drawn, for the plane has no end
HEIGHT_STEP = 0.01  # metres
HIGHEST_START = 100.0


def stand(quantities: Quantities) -> np.ndarray:
    """From 0 upside down to 1 upright, linear in the torso's z-axis."""
    return linear_at_least(quantities["torso_upright"], 1.0, margin=2.0, value_at_margin=0)


def _beyond(quantity: np.ndarray, bound: float) -> np.ndarray:
    return linear_at_least(quantity, bound, margin=bound, value_at_margin=0.5)


def walk(quantities: Quantities) -> np.ndarray:
    """Forward at 0.5 m/s in the torso's own frame, upright."""
    return stand(quantities) * _beyond(quantities["forward_velocity"], WALK_SPEED)


def run(quantities: Quantities) -> np.ndarray:
    """Forward at 5 m/s in the torso's own frame, upright."""
    return stand(quantities) * _beyond(quantities["forward_velocity"], RUN_SPEED)


def jump(quantities: Quantities) -> np.ndarray:
    """The centre of mass at a height of 1 m, upright."""
    return stand(quantities) * _beyond(quantities["centre_of_mass_height"], JUMP_HEIGHT)


class Quadruped(Domain):
    """Four legs, twelve actuators with states of their own.

    Observation: joint angles, their velocities and the actuators' states (44), velocity of the torso in its own frame
    (3), its uprightness (1), accelerometer and gyroscope (6), forces and torques at the toes (24).
    """

    name: ClassVar[str] = "quadruped"
    control_timestep: ClassVar[float] = 0.02
    entries: ClassVar[dict[str, int]] = {
        "egocentric_state": 44,
        "torso_velocity": 3,
        "torso_upright": 1,
        "imu": 6,
        "force_torque": 24,
    }
    measured: ClassVar[tuple[Quantity, ...]] = (
        Quantity("torso_upright", "1", "cosine between the torso's z-axis and the vertical: 1 upright, -1 on its back"),
        Quantity("upright", "1", "(1 + torso_upright) / 2: 1 upright, 0 on its back"),
        Quantity("forward_velocity", "m/s", "of the torso along its own x-axis"),
        Quantity("sideways_velocity", "m/s", "of the torso along its own y-axis, to the left positive"),
        Quantity("torso_height", "m", "of the torso's frame above the ground"),
        Quantity("centre_of_mass_height", "m", "above the ground"),
    )
    tasks: ClassVar[dict[str, Reward]] = {"stand": stand, "walk": walk, "run": run, "jump": jump}

    def load(self) -> Physics:
        """The suite's own model, without ball, walls and terrain."""
        physics = quadruped.Physics.from_xml_string(quadruped.make_model(floor_size=FLOOR_SIZE), common.ASSETS)
        model, sensor = physics.model, enums.mjtSensor
        hinges = model.jnt_type == enums.mjtJoint.mjJNT_HINGE
        self._torso = model.name2id("torso", "body")
        self._hinge_positions = model.jnt_qposadr[hinges]
        self._hinge_velocities = model.jnt_dofadr[hinges]
        self._velocimeter = _readings(model, sensor.mjSENS_VELOCIMETER)
        self._inertial = _readings(model, sensor.mjSENS_ACCELEROMETER, sensor.mjSENS_GYRO)
        self._toes = _readings(model, sensor.mjSENS_FORCE, sensor.mjSENS_TORQUE)
        return physics

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """A random orientation, at the least height where nothing touches the ground.

        Raises:
            RuntimeError: if no such height is found.
        """
        orientation = random.randn(4)
        orientation /= np.linalg.norm(orientation)
        height = 0.0
        while height < HIGHEST_START:
            try:
                with physics.reset_context():
                    physics.data.qpos[:7] = (0.0, 0.0, height, *orientation)
            except PhysicsError:
                pass  # Deep in the floor the contacts overflow their buffer; higher up they do not.
            if physics.data.ncon == 0:
                return
            height += HEIGHT_STEP
        raise RuntimeError(f"the quadruped touches the ground at any height up to {HIGHEST_START} m")

    def observe(self, physics: Physics) -> np.ndarray:  # (78,)
        """Joints and actuators, torso velocity and uprightness, inertial sensors, toes."""
        data = physics.data
        sensors = data.sensordata
        return np.concatenate(
            (
                data.qpos[self._hinge_positions],
                data.qvel[self._hinge_velocities],
                data.act,
                sensors[self._velocimeter],
                data.xmat[self._torso, 8:],
                sensors[self._inertial],
                np.arcsinh(sensors[self._toes]),
            )
        )

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Uprightness of the torso, its velocity in its own frame, its height and that of the centre of mass."""
        data, torso = physics.data, self._torso
        upright = data.xmat[torso, 8]
        forward, sideways = data.sensordata[self._velocimeter[:2]]
        return (upright, (1 + upright) / 2, forward, sideways, data.xpos[torso, 2], data.subtree_com[torso, 2])


def _readings(model: Any, *kinds: int) -> np.ndarray:
    """Where the sensors of these kinds write, in the model's order."""
    sensors = np.flatnonzero(np.isin(model.sensor_type, kinds))
    return np.concatenate([np.arange(model.sensor_dim[i]) + model.sensor_adr[i] for i in sensors])


DOMAIN = Quadruped
