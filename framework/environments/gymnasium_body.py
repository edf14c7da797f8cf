"""One Gymnasium environment as a body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bfmkit.environments.action_scale import Choices, space_actions
from bfmkit.environments.body import BodyStep
from bfmkit.environments.flat_observation import flat_space


class GymnasiumBody:
    """A ``gymnasium.Env``.

    Raises:
        ValueError: if its observations or actions cannot be numbers.
    """

    def __init__(self, environment: Any, keys: Sequence[str] | None, domain: str) -> None:
        self.environment, self._domain = environment, domain
        self.observation = flat_space(environment.observation_space, keys, domain)
        self.actions = space_actions(environment.action_space, domain)

    def reset(self, seed: int) -> np.ndarray:  # (o,)
        """Start an episode."""
        observation, _ = self.environment.reset(seed=seed)
        return self._flat(observation)

    def step(self, action: np.ndarray) -> BodyStep:  # (a,)
        """Step it.

        Raises:
            ValueError: if the environment gives no number as reward.
        """
        space = self.environment.action_space
        own = self.actions.to_own(action).astype(space.dtype).reshape(space.shape)
        # A choice is a number, not an array without dimensions.
        choice = isinstance(self.actions, Choices) and not space.shape
        observation, reward, terminated, truncated, _ = self.environment.step(own[()] if choice else own)
        given = np.asarray(reward)
        if given.size != 1 or given.dtype == object:
            raise ValueError(f"{self._domain} must give one number as reward, got {reward!r}")
        return BodyStep(self._flat(observation), float(given.reshape(())), bool(terminated), bool(truncated))

    def _flat(self, observation: Any) -> np.ndarray:  # (o,)
        return self.observation.flat(_row(observation))[0]


def _row(value: Any) -> Any:
    """A nested observation with a leading dimension of one."""
    if isinstance(value, dict):
        return {name: _row(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_row(inner) for inner in value)
    return np.asarray(value)[None]
