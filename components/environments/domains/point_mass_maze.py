"""A point mass in four rooms, as in the unsupervised RL benchmark."""

from __future__ import annotations

from functools import partial
from importlib import resources
from typing import ClassVar

import numpy as np
import torch
from dm_control.mujoco import Physics

from bfmkit.components.environments.domains.domain import Domain, Quantities, Reward
from bfmkit.components.environments.domains.tolerance import gaussian_at_most, quadratic_at_zero
from bfmkit.interfaces import Plane
from bfmkit.rewards.quantity import Quantity

GOAL_RADIUS = 0.015  # metres
WALL = 0.3  # metres from the middle, on all four sides
CELLS = 60  # of a picture, along a side
GOALS = {
    "top_left": (-0.15, 0.15),
    "top_right": (0.15, 0.15),
    "bottom_left": (-0.15, -0.15),
    "bottom_right": (0.15, -0.15),
}


def reach(quantities: Quantities, goal: tuple[float, float]) -> np.ndarray:
    """Close to the goal, with small forces.

    r = near · (4 + mean_i small(u_i)) / 5, where near falls off at a distance of one goal radius from the goal
    """
    distance = np.hypot(quantities["position_x"] - goal[0], quantities["position_y"] - goal[1])
    near = gaussian_at_most(distance, GOAL_RADIUS, margin=GOAL_RADIUS)
    small = (quadratic_at_zero(quantities["control_x"], 1.0) + quadratic_at_zero(quantities["control_y"], 1.0)) / 2
    return near * (4 + small) / 5


class PointMassMaze(Domain):
    """Two forces move a ball among walls; episodes start in the corner room at the top left.

    Observation: position (2), velocity (2).
    """

    name: ClassVar[str] = "point_mass_maze"
    control_timestep: ClassVar[float] = 0.02
    entries: ClassVar[dict[str, int]] = {"position": 2, "velocity": 2}
    measured: ClassVar[tuple[Quantity, ...]] = (
        Quantity("position_x", "m", "from the middle, to the right positive; the walls stand at 0.3"),
        Quantity("position_y", "m", "from the middle, to the top positive"),
        Quantity("velocity_x", "m/s", "to the right positive"),
        Quantity("velocity_y", "m/s", "to the top positive"),
        Quantity("control_x", "1", "force asked for to the right, in [-1, 1]"),
        Quantity("control_y", "1", "force asked for to the top, in [-1, 1]"),
    )
    tasks: ClassVar[dict[str, Reward]] = {f"reach_{name}": partial(reach, goal=goal) for name, goal in GOALS.items()}

    def load(self) -> Physics:
        """Our own model, in assets/point_mass_maze.xml."""
        asset = resources.files("bfmkit.components.environments") / "assets" / "point_mass_maze.xml"
        return Physics.from_xml_string(asset.read_text(encoding="utf-8"))

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """At rest, uniformly in the outer part of the top left room."""
        physics.data.qpos[0] = random.uniform(-0.29, -0.15)
        physics.data.qpos[1] = random.uniform(0.15, 0.29)

    def observe(self, physics: Physics) -> np.ndarray:  # (4,)
        """Position and velocity."""
        return np.concatenate((physics.data.qpos, physics.data.qvel))

    def plane(self, physics: Physics) -> Plane:
        """The ball at rest, in every cell of a grid over the arena."""
        side = np.linspace(-WALL, WALL, 2 * CELLS + 1)[1::2]
        x, y = np.meshgrid(side, side)  # row by row from the bottom
        states = np.stack([x.ravel(), y.ravel(), np.zeros(x.size), np.zeros(x.size)], axis=-1)
        middle, half = physics.named.model.geom_pos, physics.named.model.geom_size
        arms = [(middle[name][:2], half[name][:2]) for name in ("arms_x", "arms_y")]
        return Plane(
            observation=torch.from_numpy(states).float(),
            physics=torch.from_numpy(states),
            rows=CELLS,
            columns=CELLS,
            extent=(-WALL, WALL, -WALL, WALL),
            axes=("x (m)", "y (m)"),
            walls=tuple((float(x - w), float(y - h), float(2 * w), float(2 * h)) for (x, y), (w, h) in arms),
        )

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Position, velocity, and the forces asked for, before the actuators' gear."""
        return (*physics.data.qpos, *physics.data.qvel, *physics.data.ctrl)

    def target(self, task: str) -> tuple[float, float, float] | None:
        """The goal of a named task."""
        goal = GOALS.get(task.removeprefix("reach_"))
        return None if goal is None else (*goal, 0.01)


DOMAIN = PointMassMaze
