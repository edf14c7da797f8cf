"""Environments: batches of bodies whose rewards are functions of recorded physics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

from bfmkit.interfaces.appearance import Appearance
from bfmkit.interfaces.episode_clock import EpisodeClock
from bfmkit.interfaces.plane import Plane
from bfmkit.interfaces.spec import EnvironmentSpec
from bfmkit.rewards.expression import STEP


class StepResult(NamedTuple):
    """Result of one step of B environments, as plain tensors."""

    observation: Tensor  # (B, o) float32
    reward: Tensor  # (B,) float32
    terminated: Tensor  # (B,) bool, the episode is over for good
    truncated: Tensor  # (B,) bool, only the time is up
    physics: Tensor  # (B, p) float64, after the step


class Environment(EnvBase):
    """B environments of one domain in a batch, each with its own task; a TorchRL environment.

    :meth:`reset_batch` and :meth:`step_batch` are the plain-tensor way in, which the online loop takes; TorchRL's
    ``reset``, ``step`` and ``rollout`` wrap them. Rows begin and end their episodes
    independently. The state that episode e of a row with seed s starts from is a function of (s, e) alone, so oracle
    and learner meet the same episodes.

    A task is a name, or a reward typed over ``spec.quantities``, such as ``"2 * upright"``; either goes wherever a task
    does. Every reward is a function of the quantities, and of the step of the episode where the task changes with time.

    Args:
        spec: what the rest of the house needs to know.
        tasks: the task of each row.

    Raises:
        ValueError: for a task that is neither a name in the spec nor a reward over its quantities, or no row.
    """

    kind: ClassVar[str] = "environment"
    folder: ClassVar[str] = "environments"

    spec: EnvironmentSpec
    tasks: tuple[str, ...]
    """The task of each row; B = len(tasks)."""
    clock: EpisodeClock
    """Seed, episode and step of each row."""

    def __init__(self, spec: EnvironmentSpec, tasks: Sequence[str]) -> None:
        if not tasks:
            raise ValueError(f"{spec.domain} needs a task for at least one row ({', '.join(spec.tasks)})")
        for task in tasks:
            spec.require_task(task)
        super().__init__(batch_size=(len(tasks),))
        self.spec = spec
        self.tasks = tuple(tasks)
        self.clock = EpisodeClock(len(tasks), spec.episode_steps)
        batch = self.batch_size
        self.observation_spec = Composite(
            observation=Unbounded((*batch, spec.observation_size), dtype=torch.float32),
            physics=Unbounded((*batch, spec.physics_size), dtype=torch.float64),
            shape=batch,
        )
        self.action_spec = Bounded(-1.0, 1.0, (*batch, spec.action_size), dtype=torch.float32)
        self.reward_spec = Unbounded((*batch, 1), dtype=torch.float32)
        flag = Binary(1, (*batch, 1), dtype=torch.bool)
        self.full_done_spec = Composite(done=flag, terminated=flag.clone(), truncated=flag.clone(), shape=batch)

    @abstractmethod
    def with_tasks(self, tasks: Sequence[str]) -> Environment:
        """The same environment with one row for each task, whatever tasks this one has.

        Raises:
            ValueError: for a task that there is not.
        """

    def observing(self, names: Sequence[str]) -> Environment:
        """The same environment with the named entries in its observation, or itself where it cannot have them."""
        return self

    def fitted_to(self, spec: EnvironmentSpec, what: str) -> Environment:
        """The same environment with the observation that ``what`` (a model, a dataset) was made for.

        Raises:
            ValueError: if it is another body, or cannot have that observation; the message names both.
        """
        environment = self
        if spec.domain == self.spec.domain and spec.observation_names != self.spec.observation_names:
            environment = self.observing(spec.observation_names)
        environment.spec.require_compatible(spec, what)
        return environment

    def seed(self, seeds: Sequence[int], episode: int | Sequence[int] = 0) -> None:
        """Give each row its seed; the next :meth:`reset_batch` starts episode ``episode``, one for all or one a row.

        Raises:
            ValueError: if there is not one seed a row.
        """
        self.clock.seed(seeds, episode)

    @abstractmethod
    def reset_batch(
        self,
        rows: Tensor | None = None,  # (B,) bool; None: all
    ) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, p) float64
        """Start the next episode in every row, or in some; observation and physics of all rows.

        The rows left out stay where they are, to the bit, and their episodes are not counted.
        """

    @abstractmethod
    def step_batch(
        self,
        action: Tensor,  # (B, a) in [-1, 1]
        rows: Tensor | None = None,  # (B,) bool; None: all
    ) -> StepResult:
        """Step every row, or some. A row that is left out, or whose episode is over, stands still, without reward.

        Raises:
            ValueError: if the action's shape is not (B, a), or an entry is not finite; the message names the row.
        """

    @abstractmethod
    def quantities(
        self,
        physics: Tensor,  # (n, p) float64, after the step
        action: Tensor,  # (n, a), the action that led there, in [-1, 1]
    ) -> dict[str, Tensor]:  # name -> (n,) float64
        """Physics quantities that rewards are functions of, named as in ``spec.quantities``.

        Raises:
            ValueError: if sizes do not fit.
        """

    @abstractmethod
    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """Reward of a named task, a function of the quantities and ``step``: numbers or arrays (n,)."""

    def snapshot(self) -> dict[str, Any] | None:
        """Exact state of all rows; after :meth:`restore` the next steps are the same to the bit.

        Plain containers that ``torch.load`` reads weights-only. None for an environment that can only begin episodes.
        """
        return None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`snapshot` of an environment with the same rows."""
        raise NotImplementedError(f"{type(self).__name__} takes no snapshots")

    measurement: str | None = None
    """All but physics and action that :meth:`quantities` depends on (engine, model, their versions), so that they can
    be kept for another time; None: they are worked out anew each time."""

    def plane(self) -> Plane | None:
        """Grid of states over a plane, for pictures of a reward over places; None for bodies that no plane shows."""
        return None

    def appearance(self) -> Appearance | None:
        """Meshes of the body, for viewers; None for an environment without meshes."""
        return None

    def poses(self, physics: Tensor) -> np.ndarray:  # (n, p) -> (n, parts that move, 7) float64
        """Position (3) and orientation (quaternion, w first) of each moving part of :meth:`appearance`."""
        raise NotImplementedError(f"{type(self).__name__} has no meshes to draw")

    def target(self, task: str) -> tuple[float, float, float] | None:
        """Goal position of a task that asks for one; None for others."""
        return None

    def pictures(
        self,
        physics: Tensor,  # (n, p)
        height: int,
        width: int,
    ) -> np.ndarray | None:  # (n, height, width, 3) uint8
        """Pictures of the body in recorded states; None for an environment that cannot be put into a state."""
        return None

    def frame(self, row: int) -> np.ndarray | None:  # (height, width, 3) uint8
        """Picture of a row's body now, drawn by the environment itself; None for one that does not draw."""
        return None

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:  # (B, height, width, 3) uint8
        """How the bodies look now; TorchRL's ``PixelRenderTransform`` and ``rlrender`` call it.

        An environment that draws itself (:meth:`frame`) does so in its own size.

        Raises:
            ValueError: if a body cannot be drawn.
        """
        frames = [self.frame(row) for row in range(len(self.tasks))]
        return self._require_pictures(None if any(frame is None for frame in frames) else np.stack(frames))  # type: ignore[arg-type]

    def _require_pictures(self, pictures: np.ndarray | None) -> np.ndarray:
        if pictures is None:
            raise ValueError(
                f"{self.spec.domain} cannot be drawn: it gives no pictures; one of Gymnasium does with the argument "
                "render_mode: rgb_array"
            )
        return pictures

    def reward_of(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """Reward function of a named or typed task, of the quantities and ``step``.

        Raises:
            ValueError: for a task that there is not.
        """
        return self.spec.typed_reward(task) or self.named_reward(task)

    def rewards(
        self,
        quantities: Mapping[str, Tensor],  # name -> (n,)
        task: str,
        step: int | Tensor = 1,  # one for all, or (n,)
    ) -> Tensor:  # (n,) float32
        """Rewards of ``task`` for recorded quantities.

        Args:
            quantities: as :meth:`quantities` gives them.
            task: a name, or a typed reward.
            step: the step of the episode to ask for, the first being 1; only tasks that change with time look at it.

        Raises:
            ValueError: for a task that there is not, sizes that do not fit, or a reward that is not finite somewhere.
        """
        reward = self.reward_of(task)
        table: dict[str, Any] = {name: column.numpy(force=True) for name, column in quantities.items()}
        rows = len(next(iter(table.values())))
        clock = np.asarray(step.numpy(force=True) if isinstance(step, Tensor) else step)
        if clock.shape not in ((), (rows,)):
            raise ValueError(f"step must be one number or ({rows},), got {clock.shape}")
        table.setdefault(STEP, np.broadcast_to(clock, (rows,)))
        with np.errstate(over="ignore"):
            values = np.broadcast_to(np.asarray(reward(table), np.float64), (rows,)).astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            where = ", ".join(f"{name} {column[bad[0]]:.4g}" for name, column in table.items())
            raise ValueError(f'reward "{task}" is not finite in {len(bad)} of {rows} steps, first where {where}')
        return torch.from_numpy(values)

    def relabel(
        self,
        physics: Tensor,  # (n, p) float64, after the step
        action: Tensor,  # (n, a), the action that led there, in [-1, 1]
        task: str,
        step: int | Tensor = 1,  # one for all, or (n,)
    ) -> Tensor:  # (n,) float32
        """Rewards of ``task`` for recorded steps, as if taken as step ``step`` of an episode.

        Raises:
            ValueError: as :meth:`quantities` and :meth:`rewards`.
        """
        self.spec.require_task(task)
        return self.rewards(self.quantities(physics, action), task, step)

    # TorchRL's side.

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDict:
        chosen = None if tensordict is None else tensordict.get("_reset", None)
        observation, physics = self.reset_batch(None if chosen is None else chosen.reshape(-1).cpu())
        terminated, truncated = torch.tensor(self.clock.terminated), self.clock.truncated()
        return TensorDict(
            {"observation": observation, "physics": physics, **_flags(terminated, truncated)}, self.batch_size
        )

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        rows = tensordict.get("_step", None)
        outcome = self.step_batch(tensordict.get("action"), None if rows is None else rows.reshape(-1).cpu())
        return TensorDict(
            {
                "observation": outcome.observation,
                "physics": outcome.physics,
                "reward": outcome.reward.unsqueeze(-1),
                **_flags(outcome.terminated, outcome.truncated),
            },
            self.batch_size,
        )

    def _step_proc_data(self, next_tensordict_out: TensorDictBase) -> TensorDictBase:
        # TorchRL completes missing done keys and mends shapes here; _step leaves neither to do, and at every step
        # the look takes a third as long as the walker's physics.
        return next_tensordict_out

    def _set_seed(self, seed: int | None) -> None:
        first = 0 if seed is None else seed
        self.seed([first + row for row in range(len(self.tasks))])


def _flags(terminated: Tensor, truncated: Tensor) -> dict[str, Tensor]:  # (B,) -> (B, 1) each
    flags = {"done": terminated | truncated, "terminated": terminated, "truncated": truncated}
    return {name: flag.unsqueeze(-1) for name, flag in flags.items()}
