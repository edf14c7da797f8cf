"""Film: recorded poses of bodies, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bfmkit.interfaces import Environment

FRAMES_PER_SECOND = 20.0


@dataclass(frozen=True)
class Film:
    """Recorded poses of bodies, side by side."""

    names: tuple[str, ...]
    poses: tuple[np.ndarray, ...]  # of each body, (T, parts, 7); shorter ones stand still at their end
    timestep: float  # seconds between two poses

    def frames(self, rate: float = FRAMES_PER_SECOND) -> list[list[np.ndarray]]:  # each (parts, 7), one a body
        """Film with about so many frames a second.

        Raises:
            ValueError: for a film without a pose.
        """
        if not self.poses or not all(len(poses) for poses in self.poses):
            raise ValueError("there is no episode to show yet")
        every = max(1, round(1.0 / (rate * self.timestep)))
        longest = max(len(poses) for poses in self.poses)
        return [[poses[min(index, len(poses) - 1)] for poses in self.poses] for index in range(0, longest, every)]

    def seconds(self, rate: float = FRAMES_PER_SECOND) -> float:
        """Seconds between two frames."""
        return max(1, round(1.0 / (rate * self.timestep))) * self.timestep


@dataclass(frozen=True)
class Footage:
    """Physics states of some bodies side by side, of which a film can be made."""

    environment: Environment  # of every body
    names: tuple[str, ...]
    physics: tuple[np.ndarray, ...]  # of each body, (T, p) float64
    timestep: float  # seconds between two states

    def film(self) -> Film:
        """Poses of all states; takes a quarter of a millisecond a state."""
        poses = tuple(self.environment.poses(torch.from_numpy(states)) for states in self.physics)
        return Film(self.names, poses, self.timestep)
