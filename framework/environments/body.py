"""One environment of another library, in numbers."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from bfmkit.environments.action_scale import ActionScale
from bfmkit.environments.flat_observation import FlatObservation


class BodyStep(NamedTuple):
    """What one step of one body gives."""

    observation: np.ndarray  # (o,) float64
    reward: float
    terminated: bool
    truncated: bool


class Body(Protocol):
    """One environment: flat observations out, actions in [-1, 1] in."""

    environment: Any
    observation: FlatObservation
    actions: ActionScale

    def reset(self, seed: int) -> np.ndarray: ...  # (o,) float64
    def step(self, action: np.ndarray) -> BodyStep: ...  # (a,) in [-1, 1]
