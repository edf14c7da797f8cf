"""Base class of the bodies of the dm_control environment."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

with warnings.catch_warnings():
    # dm_control looks for a window system as soon as it is imported; nothing here draws, so its absence is no news.
    warnings.filterwarnings("ignore", message=".*DISPLAY")
    from dm_control.mujoco import Physics

from bfmkit.interfaces import Plane
from bfmkit.rewards.quantity import Quantity

Quantities = Mapping[str, Any]
"""Name -> values; single numbers while an environment runs, arrays (n,) when recorded steps are labelled. Beside the
domain's own there is ``step``, the step of the episode, the first being 1."""
Reward = Callable[[Quantities], np.ndarray]


class Domain(ABC):
    """A MuJoCo model with its start states, observation, named physics quantities, and rewards as functions of them.

    Rewards see quantities alone. So the reward of a recorded physics state is the one that the environment gave, and
    a new task is one function.
    """

    name: ClassVar[str]
    control_timestep: ClassVar[float]
    """Seconds between two actions."""
    episode_steps: ClassVar[int] = 1000
    tasks: ClassVar[Mapping[str, Reward]]
    """Task name -> function of the quantities to rewards in [0, 1], of the quantities' shape."""
    changing_tasks: ClassVar[Mapping[str, Reward]] = {}
    """Those that look at ``step`` too."""
    entries: ClassVar[Mapping[str, int]]
    """The observation's parts, as dm_control's suite calls them, and how many entries each has."""
    measured: ClassVar[tuple[Quantity, ...]]
    """The quantities that rewards may be functions of; `bfmkit list quantities` reads them off the file."""
    quantity_names: ClassVar[tuple[str, ...]]
    entry_names: ClassVar[tuple[str, ...]]
    """A name for each entry: ``height`` of a part with one, ``velocity_0`` and so on of one with more."""

    def __init_subclass__(cls) -> None:
        cls.quantity_names = tuple(quantity.name for quantity in cls.measured)
        cls.entry_names = tuple(
            name if size == 1 else f"{name}_{i}" for name, size in cls.entries.items() for i in range(size)
        )

    @abstractmethod
    def load(self) -> Physics:
        """Compile the model."""

    @abstractmethod
    def initialize(self, physics: Physics, random: np.random.RandomState) -> None:
        """Put the body where an episode starts; runs within ``physics.reset_context()``."""

    def begin(self, physics: Physics, random: np.random.RandomState, task: str) -> None:
        """Start an episode of one task; override where starts depend on the task."""
        self.initialize(physics, random)

    @abstractmethod
    def observe(self, physics: Physics) -> np.ndarray:  # (o,) float64
        """The flat observation, in the order of dm_control's suite."""

    def plane(self, physics: Physics) -> Plane | None:
        """States spread over the place that the body moves in; None where no plane shows it."""
        return None

    @abstractmethod
    def quantities(self, physics: Physics) -> tuple[float, ...]:
        """The quantities of the present state and control, in the order of :attr:`measured`."""

    def target(self, task: str) -> tuple[float, float, float] | None:
        """Where the body is to go; None for a task that asks for no place."""
        return None
