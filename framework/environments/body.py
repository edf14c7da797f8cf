"""Bodies: single environments of Gymnasium or TorchRL, with flat observations and actions in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from tensordict import TensorDictBase
from torchrl.data import MultiOneHot, OneHot
from torchrl.envs import EnvBase
from torchrl.envs.utils import step_mdp

from bfmkit.environments.action_scale import ActionScale, Choices, space_actions, spec_actions
from bfmkit.environments.flat_observation import FlatObservation, flat_space, flat_spec


class BodyStep(NamedTuple):
    """Result of one step of one body."""

    observation: np.ndarray  # (o,) float64
    reward: float
    terminated: bool
    truncated: bool


class Body(Protocol):
    """Single environment with flat observations and actions in [-1, 1]."""

    environment: Any
    observation: FlatObservation
    actions: ActionScale

    def reset(self, seed: int) -> np.ndarray: ...  # (o,) float64
    def step(self, action: np.ndarray) -> BodyStep: ...  # (a,) in [-1, 1]


class GymnasiumBody:
    """Body of a ``gymnasium.Env``.

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
    """Nested observation with a leading dimension of one."""
    if isinstance(value, dict):
        return {name: _row(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_row(inner) for inner in value)
    return np.asarray(value)[None]


class TorchRLBody:
    """Body of a TorchRL environment without a batch dimension.

    Raises:
        ValueError: if it is a batch, or its observations or actions cannot be numbers.
    """

    def __init__(self, environment: EnvBase, keys: Sequence[str] | None, domain: str) -> None:
        if environment.batch_size:
            raise ValueError(
                f"{domain} must be a single environment, it is a batch of {tuple(environment.batch_size)}; "
                "give what makes one of them: its rows are made from it"
            )
        self._require_no_start(environment, domain)
        self.environment = environment
        self.observation = flat_spec(environment.observation_spec, keys, domain)
        self.actions = spec_actions(environment.action_spec, domain)
        self._state: TensorDictBase | None = None

    def reset(self, seed: int) -> np.ndarray:  # (o,)
        """Start an episode."""
        self.environment.set_seed(seed)
        # Seeding draws, and may seed torch as well.
        torch.manual_seed(seed)
        self._state = self.environment.reset()
        return self._flat(self._state)

    def step(self, action: np.ndarray) -> BodyStep:  # (a,)
        """Step it."""
        environment = self.environment
        stepped = environment.step(self._state.set(environment.action_key, self._own(action)))  # type: ignore[union-attr]
        following = stepped["next"]
        flags = {name: following.get(name, None) for name in ("done", "terminated", "truncated")}
        done, terminated, truncated = (flag is not None and bool(flag.any()) for flag in flags.values())
        if flags["terminated"] is None:
            terminated = done and not truncated
        self._state = step_mdp(stepped)
        return BodyStep(
            self._flat(following), float(following[environment.reward_key].sum()), terminated, truncated or done
        )

    def _own(self, action: np.ndarray) -> torch.Tensor:
        spec, own = self.environment.action_spec, self.actions.to_own(action)
        if isinstance(spec, OneHot | MultiOneHot) and isinstance(self.actions, Choices):
            pairs = zip(own, self.actions.counts, strict=True)
            own = np.concatenate([np.arange(count) == choice for choice, count in pairs])
        value = torch.from_numpy(np.ascontiguousarray(own)).to(spec.dtype).reshape(spec.shape)
        return value.to(self.environment.device) if self.environment.device is not None else value

    def _flat(self, state: TensorDictBase) -> np.ndarray:  # (o,)
        entries = self.observation.entries
        return np.concatenate([entry.flat(state[entry.path].numpy(force=True)[None])[0] for entry in entries])

    @staticmethod
    def _require_no_start(environment: Any, domain: str) -> None:
        wrapped = getattr(environment, "_env", None)
        for kind, where in (("choices", "action_space"), ("observations", "observation_space")):
            for start in _starts(getattr(wrapped, where, None)):
                raise ValueError(
                    f"the {kind} of {domain} begin at {start}, and TorchRL's wrapper passes them on from 0; "
                    "an environment of type gymnasium keeps them"
                )


def _starts(space: Any) -> list[Any]:
    """Non-zero start values of the discrete spaces in a Gymnasium space, nested ones included."""
    inner = getattr(space, "spaces", ())
    nested = [start for part in (inner.values() if isinstance(inner, dict) else inner) for start in _starts(part)]
    start = getattr(space, "start", 0)
    return [*nested, start] if np.any(start) else nested
