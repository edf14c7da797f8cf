"""Further bodies of dm_control's suite, by name, with the suite's own rewards, starts and observations."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
from dm_control import suite
from dm_control.mujoco import Physics

from bfmkit.components.environments.domains.domain import Domain, Reward
from bfmkit.rewards.quantity import Quantity

BODIES: Mapping[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": ("balance", "balance_sparse", "swingup", "swingup_sparse"),
    "finger": ("spin",),
    "fish": ("upright",),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "pendulum": ("swingup",),
    "point_mass": ("easy",),
}
"""Body -> tasks whose reward is a function of the physics state and the control. Of others (``reacher``, ``swimmer``,
``finger``'s turns), a target is drawn into the model at each start, which a recorded state does not hold."""
FORCES = ("touch",)
"""Entries of observations that MuJoCo measures during a step, which a recorded state does not hold either."""


class SuiteDomain(Domain):
    """A body of the suite.

    Observation: the suite's, in its order. Quantities: the reward of each task, ``reward_hop``; the entries of the
    observation but for forces; ``effort``, the mean square of the control.
    """

    entries: ClassVar[dict[str, int]] = {}
    measured: ClassVar[tuple[Quantity, ...]] = ()
    tasks: ClassVar[dict[str, Reward]] = {}
    suite_tasks: ClassVar[dict[str, Any]] = {}
    """Name -> the suite's task."""

    def load(self) -> Physics:
        """The suite's own model."""
        return suite.load(self.name, next(iter(self.tasks))).physics

    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """As an episode of the first task starts."""
        self.begin(physics, random, next(iter(self.tasks)))

    def begin(self, physics: Physics, random: np.random.RandomState, task: str) -> None:
        """As an episode of the task starts; of a typed reward, as one of the first task."""
        chosen = self.suite_tasks.get(task) or next(iter(self.suite_tasks.values()))
        # The suite's tasks draw from a generator of their own, and have no other way to be given one.
        chosen._random = random
        chosen.initialize_episode(physics)

    def observe(self, physics: Physics) -> np.ndarray:  # (o,)
        """All entries, laid end to end."""
        return np.concatenate([np.ravel(part) for part in self._parts(physics).values()])

    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """Rewards, entries of the observation, effort."""
        rewards = [task.get_reward(physics) for task in self.suite_tasks.values()]
        parts = [np.ravel(part) for name, part in self._parts(physics).items() if name not in FORCES]
        control = physics.control()
        return (*map(float, rewards), *np.concatenate(parts).tolist(), float(control.dot(control) / len(control)))

    def _parts(self, physics: Physics) -> Mapping[str, Any]:
        return next(iter(self.suite_tasks.values())).get_observation(physics)


def suite_domain(name: str) -> SuiteDomain:
    """The body of that name in ``BODIES``."""
    environments = {task: suite.load(name, task) for task in BODIES[name]}
    first = next(iter(environments.values()))
    parts = first.task.get_observation(first.physics)
    entries = {key: int(np.size(part)) for key, part in parts.items()}
    named = [
        key if size == 1 else f"{key}_{index}"
        for key, size in entries.items()
        if key not in FORCES
        for index in range(size)
    ]
    members = {
        "name": name,
        "control_timestep": first.control_timestep(),
        "episode_steps": int(first._step_limit),
        "entries": entries,
        "measured": (
            *(Quantity(f"reward_{task}", "1", f"the suite's reward of {task}") for task in environments),
            *(Quantity(key, "1", "of the observation") for key in named),
            Quantity("effort", "1", "mean square of the control"),
        ),
        "tasks": {task: itemgetter(f"reward_{task}") for task in environments},
        "suite_tasks": {task: environment.task for task, environment in environments.items()},
    }
    return type("SuiteBody", (SuiteDomain,), members)()
