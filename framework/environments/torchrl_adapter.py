"""Any TorchRL environment as one of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Categorical, OneHot, Unbounded
from torchrl.envs import EnvBase
from torchrl.envs.utils import step_mdp

from bfmkit.interfaces import Environment, EnvironmentSpec, StepResult
from bfmkit.rewards.expression import STEP
from bfmkit.utils.rng import generator

OWN_REWARD = "own_reward"


def adapted_spec(domain: str, observations: int, actions: int, episode_steps: int) -> EnvironmentSpec:
    """The spec where what is recorded as physics is the next observation and the reward that came with it."""
    return EnvironmentSpec(
        domain=domain,
        observation_size=observations,
        action_size=actions,
        physics_size=observations + 1,
        episode_steps=episode_steps,
        control_timestep=1.0,
        tasks=(OWN_REWARD,),
        quantities=(
            OWN_REWARD,
            *(f"observation_{index}" for index in range(observations)),
            *(f"action_{index}" for index in range(actions)),
        ),
    )


class AdaptedEnvironment(Environment):
    """B copies of a TorchRL environment, stepped one after another; its own reward is the task ``own_reward``.

    Observations are laid end to end as float32. Actions in [-1, 1] are stretched to the bounds of the environment's
    own; where those are choices, the largest entry is the choice. What is recorded as physics is the observation and
    the reward that came with it, so that every reward is a function of ``own_reward``, ``observation_0``, ... and
    ``action_0``, ..., the action in [-1, 1]; rewards may be typed over these.

    Each row has a random state of its own, so that nothing depends on which rows there are. An environment that draws
    from NumPy's global generator escapes that.

    Args:
        make: makes one copy, without a batch dimension; a function that can be pickled if the environment is to be.
        domain: what to call it; models and data of the same name and sizes fit each other.
        task: a reward for each row: ``own_reward``, or a typed one.
        episode_steps: after which an episode is truncated, if it has not ended before.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of
            numbers at the top if not given.

    Raises:
        ValueError: if the environment cannot be adapted, or for a task or key that there is not.
    """

    def __init__(
        self,
        make: Callable[[], EnvBase],
        domain: str,
        task: str | Sequence[str] = OWN_REWARD,
        episode_steps: int = 1000,
        observation_keys: Sequence[str] | None = None,
    ) -> None:
        if episode_steps < 1:
            raise ValueError(f"episode_steps must be positive, got {episode_steps}")
        rows = [task] if isinstance(task, str) else list(task)
        first = make()
        if first.batch_size:
            raise ValueError(f"{domain} must be a single environment, it is a batch of {tuple(first.batch_size)}")
        keys = _observation_keys(first, observation_keys, domain)
        observations = sum(first.observation_spec[key].shape.numel() for key in keys)
        actions = _action_size(first, domain)
        spec = adapted_spec(domain, observations, actions, episode_steps)
        super().__init__(spec, rows)
        self._make, self._keys, self._given_keys = make, keys, observation_keys
        self._copies = [first, *(make() for _ in rows[1:])]
        self._random = [torch.get_rng_state() for _ in rows]
        self._rewards = [self.reward_of(name) for name in self.tasks]
        self._states: list[TensorDictBase] = [TensorDict() for _ in rows]
        self._observed = torch.zeros(len(rows), observations)
        self._own_reward = torch.zeros(len(rows), dtype=torch.float64)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from."""
        given = (self._make, self.spec.domain, list(self.tasks), self.spec.episode_steps, self._given_keys)
        return (AdaptedEnvironment, given)

    def with_tasks(self, tasks: Sequence[str]) -> AdaptedEnvironment:
        """The same environment with one copy for each task."""
        return AdaptedEnvironment(
            self._make, self.spec.domain, list(tasks), self.spec.episode_steps, self._given_keys
        )  # fmt: skip

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, o + 1) float64
        """Reset every copy, or some."""
        self._observed, self._own_reward = self._observed.clone(), self._own_reward.clone()
        for row, seed, episode in self.clock.begin(rows):
            number = int(generator(seed, "adapted environment", episode).integers(2**31 - 1))
            self._random[row] = torch.Generator().manual_seed(number).get_state()
            with self._own_randomness(row):
                self._copies[row].set_seed(number)
                # Seeding draws, and may seed torch as well.
                torch.manual_seed(number)
                self._states[row] = self._copies[row].reset()
            self._observed[row], self._own_reward[row] = self._flat(self._states[row]), 0.0
        return self._observed.clone(), self._physics()

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:  # action (B, a)
        """Step every copy, or some."""
        count = len(self.tasks)
        if tuple(action.shape) != (count, self.spec.action_size):
            raise ValueError(f"actions must be ({count}, {self.spec.action_size}), got {tuple(action.shape)}")
        finite = action.isfinite().all(-1)
        if not finite.all():
            raise ValueError(f"the action of row {int((~finite).nonzero()[0])} is not finite")
        going = self.clock.advance(rows)
        chosen = action.detach().cpu()
        self._observed, self._own_reward = self._observed.clone(), torch.zeros(count, dtype=torch.float64)
        for row in going:
            with self._own_randomness(row):
                self._step_row(row, chosen[row])
        physics = self._physics()
        rewards, tables = torch.zeros(count), list(self._tables(physics, action))
        for row in going:
            rewards[row] = float(self._rewards[row]({**tables[row], STEP: self.clock.step[row]}))
        terminated, truncated = torch.tensor(self.clock.terminated), torch.tensor(self.clock.truncated())
        return StepResult(self._observed.clone(), rewards, terminated, truncated, physics)

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:  # (n, o + 1), (n, a) -> name -> (n,)
        """The reward that was given, and the entries of observation and action."""
        if physics.ndim != 2 or physics.shape[1] != self.spec.physics_size:
            raise ValueError(f"physics must be (n, {self.spec.physics_size}), got {tuple(physics.shape)}")
        if tuple(action.shape) != (len(physics), self.spec.action_size):
            raise ValueError(f"actions must be ({len(physics)}, {self.spec.action_size}), got {tuple(action.shape)}")
        observation, reward = physics.cpu().double().split([self.spec.observation_size, 1], dim=1)
        columns = torch.cat((reward, observation, action.detach().cpu().double()), dim=1).unbind(-1)
        return dict(zip(self.spec.quantities, columns, strict=True))

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """The reward that was given."""
        self.spec.require_named_task(task)
        return lambda table: table[OWN_REWARD]

    def _step_row(self, row: int, action: Tensor) -> None:
        copy, state = self._copies[row], self._states[row]
        stepped = copy.step(state.set(copy.action_key, _to_own(action, copy)))
        following = stepped["next"]
        flags = {name: following.get(name, None) for name in ("done", "terminated", "truncated")}
        done, terminated, truncated = (flag is not None and bool(flag.any()) for flag in flags.values())
        if flags["terminated"] is None:
            terminated = done and not truncated
        self._states[row] = step_mdp(stepped)
        self._observed[row], self._own_reward[row] = self._flat(following), float(following[copy.reward_key].sum())
        self.clock.terminated[row], self.clock.cut[row] = terminated, truncated or done

    def _tables(self, physics: Tensor, action: Tensor) -> Iterator[dict[str, float]]:
        table = self.quantities(physics, action)
        columns = torch.stack(list(table.values()), dim=-1).tolist()
        return (dict(zip(table, row, strict=True)) for row in columns)

    def _flat(self, state: TensorDictBase) -> Tensor:  # (o,) float32
        return torch.cat([state[key].detach().cpu().reshape(-1).float() for key in self._keys])

    def _physics(self) -> Tensor:  # (B, o + 1)
        return torch.cat((self._observed.double(), self._own_reward.unsqueeze(-1)), dim=1)

    @contextmanager
    def _own_randomness(self, row: int) -> Iterator[None]:
        """Let torch's generator be the row's own for as long as the block lasts."""
        before = torch.get_rng_state()
        torch.set_rng_state(self._random[row])
        try:
            yield
        finally:
            self._random[row] = torch.get_rng_state()
            torch.set_rng_state(before)


def _observation_keys(copy: EnvBase, wanted: Sequence[str] | None, domain: str) -> list[str | tuple[str, ...]]:
    spec = copy.observation_spec
    known = [key for key in spec.keys(True, True) if spec[key].dtype.is_floating_point]
    named = {key if isinstance(key, str) else ".".join(key): key for key in known}
    if wanted is None:
        chosen: list[str | tuple[str, ...]] = [key for key in known if isinstance(key, str)]
    else:
        missing = [name for name in wanted if name not in named]
        if missing:
            raise ValueError(f"{domain} observes no {missing[0]!r} of numbers ({', '.join(named)})")
        chosen = [named[name] for name in wanted]
    if not chosen:
        raise ValueError(f"{domain} observes no numbers that could be laid end to end ({', '.join(named)})")
    return chosen


def _action_size(copy: EnvBase, domain: str) -> int:
    spec = copy.action_spec
    if isinstance(spec, OneHot):
        return spec.shape[-1]
    if isinstance(spec, Categorical) and not spec.shape:
        return int(spec.space.n)
    if isinstance(spec, Bounded | Unbounded) and spec.dtype.is_floating_point:
        return spec.shape.numel()
    raise ValueError(f"the actions of {domain} are neither numbers nor one choice: {type(spec).__name__}")


def _to_own(action: Tensor, copy: EnvBase) -> Tensor:
    """An action in [-1, 1] as the environment takes it."""
    spec = copy.action_spec
    if isinstance(spec, OneHot):
        return torch.nn.functional.one_hot(action.argmax(), spec.shape[-1]).to(spec.dtype)
    if isinstance(spec, Categorical):
        return action.argmax().to(spec.dtype)
    shaped = action.reshape(spec.shape).to(spec.dtype)
    if isinstance(spec, Bounded):
        low, high = spec.space.low.cpu(), spec.space.high.cpu()
        if low.isfinite().all() and high.isfinite().all():
            shaped = low + (shaped.clamp(-1, 1) + 1) / 2 * (high - low)
    return shaped.to(copy.device) if copy.device is not None else shaped
