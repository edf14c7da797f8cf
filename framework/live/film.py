"""Recorded poses of bodies side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRAMES_PER_SECOND = 20.0


@dataclass(frozen=True)
class Film:
    """What some bodies did side by side.

    Args:
        names: of the bodies.
        poses: of each body, (T, parts, 7); all of one length, or shorter ones stand still at their end.
        timestep: seconds between two poses.
    """

    names: tuple[str, ...]
    poses: tuple[np.ndarray, ...]
    timestep: float

    def frames(self, rate: float = FRAMES_PER_SECOND) -> list[list[np.ndarray]]:  # each (parts, 7), one a body
        """About so many a second.

        Raises:
            ValueError: for a film without a pose.
        """
        if not self.poses or not all(len(poses) for poses in self.poses):
            raise ValueError("there is no episode to show yet")
        every = max(1, round(1.0 / (rate * self.timestep)))
        longest = max(len(poses) for poses in self.poses)
        return [[poses[min(index, len(poses) - 1)] for poses in self.poses] for index in range(0, longest, every)]

    def seconds(self, rate: float = FRAMES_PER_SECOND) -> float:
        """Between two frames."""
        return max(1, round(1.0 / (rate * self.timestep))) * self.timestep
