"""Rows of an environment in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.envs import ParallelEnv

from bfmkit.environments.single import SingleEnvironment
from bfmkit.interfaces import Environment, StepResult
from bfmkit.interfaces.appearance import Appearance
from bfmkit.interfaces.plane import Plane
from bfmkit.registry import register
from bfmkit.utils.checks import require_actions


@register(Environment, "parallel")
class ParallelEnvironment(Environment):
    """Rows of another environment, each stepped in a process of its own; a TorchRL ``ParallelEnv`` within.

    Worth it where one step takes milliseconds, as in environments written in Python: a round trip to a process takes
    about one. Observations, rewards and episodes are those of the environment itself. The processes start with the
    first episode and end with :meth:`close`.

    Args:
        environment: what the rows are; one process for each of its tasks.

    Example:
        ``environment: {type: parallel, environment: {type: gymnasium, id: Pendulum-v1}}``
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment.spec, environment.tasks)
        self._inner = environment
        rows = [partial(SingleEnvironment, environment.with_tasks([task])) for task in environment.tasks]
        # Each process is forked off a server that has done the imports once; spawned ones would all do them.
        get_context("forkserver").set_forkserver_preload([SingleEnvironment.__module__])
        self._workers = ParallelEnv(len(rows), rows, mp_start_method="forkserver")
        self._observation = torch.zeros(len(rows), self.spec.observation_size)
        self._physics = torch.zeros(len(rows), self.spec.physics_size, dtype=torch.float64)
        self.measurement = environment.measurement

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from."""
        return (type(self), (self._inner,))

    def with_tasks(self, tasks: Sequence[str]) -> ParallelEnvironment:
        """The same environment with a process for each task."""
        return type(self)(self._inner.with_tasks(tasks))

    def observing(self, names: Sequence[str]) -> Environment:
        """With that observation, if the environment within can have it."""
        return type(self)(self._inner.observing(names))

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, p) float64
        """Start an episode in every process, or in some."""
        starts: list[dict[str, int]] = [{} for _ in self.tasks]
        for row, seed, episode in self.clock.begin(rows):
            starts[row] = {"seed": seed, "episode": episode}
        chosen = torch.tensor([bool(start) for start in starts])
        begun = self._workers.reset(TensorDict({"_reset": chosen.unsqueeze(-1)}, [len(chosen)]), list_of_kwargs=starts)
        self._look(begun, chosen)
        return self._observation, self._physics

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:  # action (B, a)
        """Step every process, or some."""
        count = len(self.tasks)
        require_actions(action, count, self.spec.action_size)
        going = torch.zeros(count, dtype=torch.bool)
        going[self.clock.advance(rows)] = True
        reward = torch.zeros(count)
        if going.any():
            sent = TensorDict({"action": action.detach().cpu(), "_step": going}, [count])
            stepped = self._workers.step(sent)["next"]
            self._look(stepped, going)
            reward[going] = stepped["reward"].squeeze(-1)[going]
            for row in going.nonzero().squeeze(-1).tolist():
                self.clock.terminated[row] = bool(stepped["terminated"][row])
                self.clock.cut[row] = bool(stepped["truncated"][row])
        flags = torch.tensor(self.clock.terminated), self.clock.truncated()
        return StepResult(self._observation, reward, *flags, self._physics)

    def close(self, *, raise_if_closed: bool = True) -> None:
        """End the processes."""
        if not self._workers.is_closed:
            self._workers.close()
        super().close(raise_if_closed=raise_if_closed)

    def _look(self, seen: TensorDict, rows: Tensor) -> None:  # (B,) bool
        chosen = rows.unsqueeze(-1)
        self._observation = torch.where(chosen, seen["observation"], self._observation)
        self._physics = torch.where(chosen, seen["physics"], self._physics)

    # What needs no process is asked of the environment within.

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:  # (n, p), (n, a) -> name -> (n,)
        """Those of the environment within."""
        return self._inner.quantities(physics, action)

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """That of the environment within."""
        return self._inner.named_reward(task)

    def plane(self) -> Plane | None:
        """That of the environment within."""
        return self._inner.plane()

    def appearance(self) -> Appearance | None:
        """That of the environment within."""
        return self._inner.appearance()

    def poses(self, physics: Tensor) -> np.ndarray:  # (n, p) -> (n, moving parts, 7)
        """Those of the environment within."""
        return self._inner.poses(physics)

    def target(self, task: str) -> tuple[float, float, float] | None:
        """That of the environment within."""
        return self._inner.target(task)

    def pictures(self, physics: Tensor, height: int, width: int) -> np.ndarray | None:  # (n, height, width, 3) uint8
        """Those of the environment within."""
        return self._inner.pictures(physics, height, width)

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:  # (B, height, width, 3) uint8
        """Pictures of the present states; errors as in the interface."""
        return self._require_pictures(self.pictures(self._physics, height, width))
