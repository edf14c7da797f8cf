"""Adapter of environments of TorchRL and Gymnasium."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchrl.envs import EnvBase, ParallelEnv, SerialEnv

from bfmkit.environments.body import Body, GymnasiumBody, TorchRLBody
from bfmkit.interfaces import Environment, EnvironmentSpec, StepResult
from bfmkit.registry import lookup
from bfmkit.rewards.expression import STEP
from bfmkit.utils.checks import PositiveInt, check_ranges, require_actions
from bfmkit.utils.rng import generator

OWN_REWARD = "own_reward"
EPISODE_STEPS = 1000
"""The length of episodes of an environment that sets no limit."""


def adapted_spec(domain: str, names: Sequence[str], actions: int, episode_steps: int) -> EnvironmentSpec:
    """Spec of an adapted environment, whose physics are the next observation and the reward that came with it."""
    return EnvironmentSpec(
        domain=domain,
        observation_size=len(names),
        action_size=actions,
        physics_size=len(names) + 1,
        episode_steps=episode_steps,
        control_timestep=1.0,
        tasks=(OWN_REWARD,),
        quantities=(OWN_REWARD, *names, *(f"action_{index}" for index in range(actions))),
        observation_names=tuple(names),
    )


@check_ranges
class AdaptedEnvironment(Environment):
    """Environment of TorchRL or Gymnasium in B copies, stepped one after another.

    Observations are laid end to end as float32, their entries sorted by name. Actions in [-1, 1] are mapped to the
    environment's own, number by number; where those are choices, the largest number of each is the choice. The
    environment's reward is the task ``own_reward``. What is recorded as physics is the observation and that reward, so
    every reward is a function of ``own_reward``, the names of the observation and ``action_0``, ..., the action in
    [-1, 1]; rewards may be typed over these.

    Each row has a random state of its own, so that nothing depends on which rows there are. An environment that draws
    from NumPy's global generator escapes that.

    Args:
        make: makes one copy, a ``gymnasium.Env`` or a TorchRL environment without a batch dimension; a function that
            can be pickled if the environment is to be.
        domain: what to call it; models and data of the same domain and observation fit each other.
        task: a reward for each row: ``own_reward``, or a typed one.
        episode_steps: after which an episode is truncated, if it has not ended before.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of them
            if not given.

    Raises:
        ValueError: if the environment cannot be adapted, or for a task or key that there is not.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        domain: str,
        task: str | Sequence[str] = OWN_REWARD,
        episode_steps: PositiveInt = EPISODE_STEPS,
        observation_keys: Sequence[str] | None = None,
    ) -> None:
        rows = [task] if isinstance(task, str) else list(task)
        first = body_of(make(), observation_keys, domain)
        spec = adapted_spec(domain, first.observation.names, first.actions.size, episode_steps)
        super().__init__(spec, rows)
        self._make, self._keys = make, observation_keys
        self._bodies = [first, *(body_of(make(), observation_keys, domain) for _ in rows[1:])]
        self._random = [torch.get_rng_state() for _ in rows]
        self._rewards = [self.reward_of(name) for name in self.tasks]
        self._observed = torch.zeros(len(rows), spec.observation_size, dtype=torch.float64)
        self._own_reward = torch.zeros(len(rows), dtype=torch.float64)

    def __init_subclass__(cls, **words: Any) -> None:
        """Refuse a subclass whose methods would be lost with its first copy."""
        super().__init_subclass__(**words)
        changed = sorted(name for name in vars(cls) if callable(getattr(Environment, name, None)) and name[0] != "_")
        if changed and not {"with_tasks", "__reduce__"} <= vars(cls).keys():
            raise TypeError(
                f"{cls.__name__} changes {', '.join(changed)}: with_tasks and __reduce__ must make {cls.__name__} too"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from."""
        given = (self._make, self.spec.domain, list(self.tasks), self.spec.episode_steps, self._keys)
        return (AdaptedEnvironment, given)

    def with_tasks(self, tasks: Sequence[str]) -> AdaptedEnvironment:
        """The same environment with one copy for each task."""
        return AdaptedEnvironment(self._make, self.spec.domain, list(tasks), self.spec.episode_steps, self._keys)

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, o + 1) float64
        """Reset every copy, or some."""
        self._observed, self._own_reward = self._observed.clone(), self._own_reward.clone()
        for row, seed, episode in self.clock.begin(rows):
            number = int(generator(seed, "adapted environment", episode).integers(2**31 - 1))
            self._random[row] = torch.Generator().manual_seed(number).get_state()
            with self._own_randomness(row):
                first = self._bodies[row].reset(number)
            self._observed[row], self._own_reward[row] = torch.from_numpy(first), 0.0
        return self._observed.float(), self._physics()

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:  # action (B, a)
        """Step every copy, or some."""
        count = len(self.tasks)
        require_actions(action, count, self.spec.action_size)
        going = self.clock.advance(rows)
        chosen = action.numpy(force=True).astype(np.float64)
        self._observed, self._own_reward = self._observed.clone(), torch.zeros(count, dtype=torch.float64)
        for row in going:
            with self._own_randomness(row):
                step = self._bodies[row].step(chosen[row])
            self._observed[row], self._own_reward[row] = torch.from_numpy(step.observation), step.reward
            self.clock.terminated[row], self.clock.cut[row] = step.terminated, step.truncated
        physics = self._physics()
        rewards, tables = torch.zeros(count), list(self._tables(physics, action))
        for row in going:
            rewards[row] = float(self._rewards[row]({**tables[row], STEP: self.clock.step[row]}))
        terminated, truncated = torch.tensor(self.clock.terminated), self.clock.truncated()
        return StepResult(self._observed.float(), rewards, terminated, truncated, physics)

    def close(self, *, raise_if_closed: bool = True) -> None:
        """Close every copy."""
        super().close(raise_if_closed=raise_if_closed)
        for body in self._bodies:
            body.environment.close()

    def frame(self, row: int) -> np.ndarray | None:  # (height, width, 3) uint8
        """Frame rendered by a Gymnasium environment made with ``render_mode: rgb_array``; None otherwise."""
        environment = self._bodies[row].environment
        # TorchRL's wrapper holds Gymnasium's environment.
        environment = getattr(environment, "_env", environment)
        if getattr(environment, "render_mode", None) != "rgb_array":
            return None
        with self._own_randomness(row):
            return np.asarray(environment.render(), dtype=np.uint8)

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:  # (n, o + 1), (n, a) -> name -> (n,)
        """Recorded reward, and entries of observation and action, by name."""
        if physics.ndim != 2 or physics.shape[1] != self.spec.physics_size:
            raise ValueError(f"physics must be (n, {self.spec.physics_size}), got {tuple(physics.shape)}")
        if tuple(action.shape) != (len(physics), self.spec.action_size):
            raise ValueError(f"actions must be ({len(physics)}, {self.spec.action_size}), got {tuple(action.shape)}")
        observation, reward = physics.cpu().double().split([self.spec.observation_size, 1], dim=1)
        columns = torch.cat((reward, observation, action.detach().cpu().double()), dim=1).unbind(-1)
        return dict(zip(self.spec.quantities, columns, strict=True))

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """Recorded reward."""
        self.spec.require_named_task(task)
        return lambda table: table[OWN_REWARD]

    def _tables(self, physics: Tensor, action: Tensor) -> Iterator[dict[str, float]]:
        table = self.quantities(physics, action)
        columns = torch.stack(list(table.values()), dim=-1).tolist()
        return (dict(zip(table, row, strict=True)) for row in columns)

    def _physics(self) -> Tensor:  # (B, o + 1), of the observation as float32
        return torch.cat((self._observed.float().double(), self._own_reward.unsqueeze(-1)), dim=1)

    @contextmanager
    def _own_randomness(self, row: int) -> Iterator[None]:
        """Context in which torch's global generator is the row's own."""
        before = torch.get_rng_state()
        torch.set_rng_state(self._random[row])
        try:
            yield
        finally:
            self._random[row] = torch.get_rng_state()
            torch.set_rng_state(before)


def body_of(environment: Any, keys: Sequence[str] | None, domain: str) -> Body:
    """Adapter of one environment, of TorchRL or of Gymnasium.

    Raises:
        ValueError: if it is neither, or cannot be adapted.
    """
    if isinstance(environment, EnvBase):
        return TorchRLBody(environment, keys, domain)
    if hasattr(environment, "observation_space"):
        return GymnasiumBody(environment, keys, domain)
    raise ValueError(f"{domain} is neither a TorchRL environment nor a gymnasium.Env: {type(environment).__name__}")


def adapt(
    source: Any,
    task: str = OWN_REWARD,
    episode_steps: int | None = None,
    observation_keys: Sequence[str] | None = None,
) -> Environment:
    """Environment of another library, adapted; further rows of ``with_tasks`` are made alike.

    Args:
        source: a ``gymnasium.Env`` or a TorchRL environment, of which every row is a deep copy, or a function that
            makes one; of a ``SerialEnv`` or ``ParallelEnv``, each of its environments is made anew as a row, a
            ``ParallelEnv``'s in a process of its own.
        task: ``own_reward``, or a typed reward.
        episode_steps: after which an episode is truncated; the environment's own limit if not given.
        observation_keys: as of :class:`AdaptedEnvironment`.

    Raises:
        ValueError: if it is none of these, or cannot be adapted or copied.
    """
    if isinstance(source, SerialEnv | ParallelEnv):
        if len(set(source.create_env_fn)) > 1:
            raise ValueError(
                f"{type(source).__name__} of different environments: rows are made alike, give one of them"
            )
        rows = adapt(source.create_env_fn[0], task, episode_steps, observation_keys).with_tasks(
            [task] * source.num_workers
        )
        return lookup(Environment, "parallel")(rows) if isinstance(source, ParallelEnv) else rows
    if not isinstance(source, EnvBase | type) and hasattr(source, "single_observation_space"):
        raise ValueError(
            f"{type(source).__name__} is a batch of environments: give one of them, or a function that makes one"
        )
    is_environment = isinstance(source, EnvBase) or (
        hasattr(source, "observation_space") and not isinstance(source, type)
    )
    make = source if callable(source) and not is_environment else partial(_copy, source)
    environment = source if is_environment else make()
    spec = getattr(environment, "spec", None)
    domain = getattr(spec, "id", None) or type(environment).__name__
    steps = episode_steps or getattr(spec, "max_episode_steps", None) or EPISODE_STEPS
    return AdaptedEnvironment(make, domain, task, steps, observation_keys)


def _copy(environment: Any) -> Any:
    try:
        return deepcopy(environment)
    except Exception as error:
        raise ValueError(
            f"{type(environment).__name__} cannot be copied ({reason_of(error)}); give a function that makes one"
        ) from error


def reason_of(error: Exception) -> str:
    """Reason of a library's error on one line; for a missing module, where modules are looked for."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, ModuleNotFoundError):
        reason += "; modules are looked for in the folder where bfmkit is started, and on PYTHONPATH"
    return reason
