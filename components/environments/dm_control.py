"""Bodies of dm_control as a batched TorchRL environment."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib.metadata import version
from typing import Any

import mujoco
import numpy as np
import torch
from dm_control.rl.control import PhysicsError
from torch import Tensor

from bfmkit.components.environments.domains import make_domain
from bfmkit.environments.task_rows import task_rows
from bfmkit.interfaces import Appearance, Environment, EnvironmentSpec, Plane, StepResult
from bfmkit.registry import register
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.expression import STEP
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.threads import spread

_INTEGRATION = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@register(Environment, "dm_control")
class DMControlEnvironment(Environment):
    """Bodies of one dm_control domain in a batch, each with its own task.

    The physics engine is stepped directly, without ``dm_control.rl.control.Environment``: its bookkeeping costs more
    than reading the state. Bodies are stepped on as many threads as torch uses, to the same bits. An episode ends by
    truncation after ``episode_steps``.

    Args:
        domain: ``walker``, ``cheetah``, ``quadruped``, ``point_mass_maze``, or another body of the suite: ``hopper``,
            ``humanoid``, ``humanoid_CMU``, ``finger``, ``fish``, ``cartpole``, ``acrobot``, ``pendulum``,
            ``ball_in_cup``, ``point_mass``.
        task: the name of a reward of that domain; several names, joined by ``+`` or in a list, make one row each.
        episode_steps: control steps in an episode; the domain's own number (1000) if not given.
        reward: a reward typed over the domain's quantities (`bfmkit list quantities`), such as
            ``upright * tolerance(horizontal_velocity, 2, 3, margin=1)``; given one, ``task`` is not looked at.
        control_timestep: seconds for which an action is held, a multiple of the domain's own, which it is if not
            given. The reward is that of the last moment.
        observe: quantities that the observation has at its end, in this order, beside the domain's own entries.

    Raises:
        ValueError: for a domain or task that does not exist, a typed reward that is not one, neither task nor reward,
            a number of steps that is not positive, or a time that is no multiple of the domain's.

    Example:
        ``environment: {type: dm_control, domain: walker, task: run}``
    """

    def __init__(
        self,
        domain: str,
        task: str | list[str] | None = None,
        episode_steps: PositiveInt | None = None,
        reward: str | None = None,
        control_timestep: PositiveFloat | None = None,
        observe: list[str] | None = None,
    ) -> None:
        body = make_domain(domain)
        control_timestep = body.control_timestep if control_timestep is None else control_timestep
        held = round(control_timestep / body.control_timestep)
        if held < 1 or not math.isclose(held * body.control_timestep, control_timestep):
            raise ValueError(
                f"control_timestep must be a multiple of {body.control_timestep}, {body.name}'s own, "
                f"got {control_timestep}"
            )
        observe = observe or []
        unknown = [name for name in observe if name not in body.quantity_names]
        if unknown:
            known = body.quantity_names
            raise ValueError(
                f'{body.name} has no quantity "{unknown[0]}"{suggestion(unknown[0], known)} {one_of(known)}'
            )
        first = body.load()
        spec = EnvironmentSpec(
            domain=body.name,
            observation_size=len(body.entry_names) + len(observe),
            action_size=first.model.nu,
            physics_size=first.get_state().size,
            episode_steps=episode_steps or body.episode_steps,
            control_timestep=control_timestep,
            tasks=tuple(body.tasks),
            quantities=body.quantity_names,
            changing_tasks=tuple(body.changing_tasks),
            observation_names=(*body.entry_names, *observe),
        )
        super().__init__(spec, task_rows(spec, task, reward))
        self._domain = body
        self._observe = tuple(observe)
        self._observed = [body.quantity_names.index(name) for name in observe]
        # Every row shares one compiled model; only the simulation data are its own.
        self._physics = [first] + [first.copy(share_model=True) for _ in self.tasks[1:]]
        self._substeps = round(control_timestep / first.timestep())
        limits = first.model.actuator_ctrlrange
        self._action_centre = limits.mean(axis=1)
        self._action_scale = (limits[:, 1] - limits[:, 0]) / 2
        self._rewards = [self.reward_of(name) for name in self.tasks]
        self._diverged: set[int] = set()
        self._appearance: Appearance | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from: another process compiles its own model."""
        spec, tasks = self.spec, list(self.tasks)
        return (type(self), (spec.domain, tasks, spec.episode_steps, None, spec.control_timestep, list(self._observe)))

    def with_tasks(self, tasks: Sequence[str]) -> DMControlEnvironment:
        """The same body with one row for each task."""
        spec = self.spec
        return type(self)(
            spec.domain, list(tasks), spec.episode_steps, None, spec.control_timestep, list(self._observe)
        )

    def observing(self, names: Sequence[str]) -> DMControlEnvironment:
        """The same body that observes the quantities named after its own entries; itself where names are others."""
        own = self._domain.entry_names
        observe = [name for name in names[len(own) :] if name in self.spec.quantities]
        if tuple(names) != (*own, *observe):
            return self
        spec = self.spec
        return type(self)(spec.domain, list(self.tasks), spec.episode_steps, None, spec.control_timestep, observe)

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:  # (B, o) float32, (B, p) float64
        """Start the next episode in every row, or in some."""
        for row, seed, episode in self.clock.begin(rows):
            words = np.random.SeedSequence((seed & (2**64 - 1), episode)).generate_state(4)
            with self._physics[row].reset_context():
                self._domain.begin(self._physics[row], np.random.RandomState(words), self.tasks[row])
            self._diverged.discard(row)
        return self._observations(), self._states()

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:  # action (B, a)
        """Step every row. A simulation that diverges reads NaN until the next :meth:`reset_batch`; the others go on.

        Raises:
            ValueError: if the action's shape is not (B, a), or an entry is not finite.
        """
        controls = self._controls(action, len(self._physics))
        going = self.clock.advance(rows)
        # MuJoCo lets go of Python's lock while it steps.
        spread(partial(self._step_some, controls, going), len(going))
        observation, reward = self._observations(), self._reward(going)
        if self._diverged:
            # A simulation that diverges must not end the others: its row reads NaN, and agents stop that run.
            gone = list(self._diverged)
            observation[gone], reward[gone] = torch.nan, torch.nan
        return StepResult(
            observation=observation,
            reward=reward,
            terminated=torch.zeros(len(reward), dtype=torch.bool),
            truncated=self.clock.truncated(),
            physics=self._states(),
        )

    def _step_some(self, controls: np.ndarray, going: list[int], piece: range) -> None:
        for index in piece:
            row = going[index]
            self._physics[row].set_control(controls[row])
            try:
                self._physics[row].step(self._substeps)
            except PhysicsError:
                self._diverged.add(row)

    def snapshot(self) -> dict[str, Any]:
        """MuJoCo's full integration state of every row: positions and velocities alone would drift."""
        size = mujoco.mj_stateSize(self._physics[0].model.ptr, _INTEGRATION)
        states = np.empty((len(self._physics), size))
        for row, physics in enumerate(self._physics):
            mujoco.mj_getState(physics.model.ptr, physics.data.ptr, states[row], _INTEGRATION)
        return {"states": torch.from_numpy(states), "clock": self.clock.snapshot(), "diverged": sorted(self._diverged)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the states, and work out what the next step starts from."""
        for physics, values in zip(self._physics, state["states"].numpy(), strict=True):
            mujoco.mj_setState(physics.model.ptr, physics.data.ptr, values, _INTEGRATION)
            mujoco.mj_step1(physics.model.ptr, physics.data.ptr)
        self.clock.restore(state["clock"])
        self._diverged = set(state["diverged"])

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """The domain's function of that name."""
        self.spec.require_named_task(task)
        domain = self._domain
        return domain.tasks[task] if task in domain.tasks else domain.changing_tasks[task]

    @cached_property
    def measurement(self) -> str:  # type: ignore[override]
        """Domain, its source, the compiled model, and the versions of MuJoCo and dm_control."""
        model = self._physics[0].model.ptr
        compiled = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, compiled)
        source = inspect.getsource(inspect.getmodule(self._domain) or type(self._domain))
        digest = hashlib.sha256(compiled.tobytes() + source.encode()).hexdigest()
        versions = f"mujoco {mujoco.__version__}, dm_control {version('dm_control')}"
        return f"{self.spec.domain}, {versions}, model and source {digest}"

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:  # (n, p), (n, a) -> name -> (n,)
        """The domain's named quantities of recorded steps: set the state after the step and the control that led to
        it, and ask again.

        Raises:
            ValueError: if sizes do not fit.
        """
        if physics.ndim != 2 or physics.shape[1] != self.spec.physics_size:
            raise ValueError(f"physics must be (n, {self.spec.physics_size}), got {tuple(physics.shape)}")
        controls = self._controls(action, len(physics))
        # A body of its own: relabelling in the middle of an episode must not disturb it.
        body = self._physics[0].copy(share_model=True)
        table = np.empty((len(physics), len(self.spec.quantities)))
        for row, (state, control) in enumerate(zip(physics.double().cpu().numpy(), controls, strict=True)):
            body.set_state(state)
            body.set_control(control)
            body.forward()
            table[row] = self._domain.quantities(body)
        return {name: torch.from_numpy(table[:, column]) for column, name in enumerate(self.spec.quantities)}

    def plane(self) -> Plane | None:
        """The domain's."""
        return self._domain.plane(self._physics[0].copy(share_model=True))

    def appearance(self) -> Appearance:
        """The model's shapes; the camera follows a body that has the world to move in."""
        from bfmkit.environments.mujoco_appearance import appearance_of

        # Made once: that takes two thirds of the time of drawing them, and `render` draws at every step.
        if self._appearance is None:
            self._appearance = appearance_of(self._physics[0].model.ptr)
        return self._appearance

    def poses(self, physics: Tensor) -> np.ndarray:  # (n, p) -> (n, moving parts, 7)
        """By the model's kinematics."""
        from bfmkit.environments.mujoco_appearance import poses_of

        positions = physics[:, : self._physics[0].model.nq]
        return poses_of(self._physics[0].model.ptr, positions.double().cpu().numpy())

    def target(self, task: str) -> tuple[float, float, float] | None:
        """The domain's."""
        return self._domain.target(task)

    def pictures(self, physics: Tensor, height: int, width: int) -> np.ndarray:  # (n, height, width, 3) uint8
        """By :func:`~bfmkit.environments.drawing.draw_bodies`; no GL library is needed."""
        from bfmkit.environments.drawing import draw_bodies

        return draw_bodies(self.appearance(), self.poses(physics), height, width)

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:  # (B, height, width, 3) uint8
        """The present states, as :meth:`pictures` draws them."""
        return self.pictures(self._states(), height, width)

    # Between tensors and MuJoCo.

    def _controls(self, action: Tensor, rows: int) -> np.ndarray:  # (rows, a) float64, in the actuators' ranges
        if tuple(action.shape) != (rows, self.spec.action_size):
            raise ValueError(f"actions must be ({rows}, {self.spec.action_size}), got {tuple(action.shape)}")
        array = action.numpy(force=True)
        if not math.isfinite(array.sum()):
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(f"the action of row {row} is not finite")
        # np.clip takes several times as long for so few numbers.
        return self._action_centre + self._action_scale * np.maximum(np.minimum(array, 1.0), -1.0)

    def _observations(self) -> Tensor:  # (B, o) float32
        table = np.empty((len(self._physics), self.spec.observation_size), dtype=np.float32)
        own = len(self._domain.entry_names)
        for row, physics in enumerate(self._physics):
            table[row, :own] = self._domain.observe(physics)
            if self._observed:
                quantities = self._domain.quantities(physics)
                table[row, own:] = [quantities[column] for column in self._observed]
        return torch.from_numpy(table)

    def _states(self) -> Tensor:  # (B, p) float64
        table = np.empty((len(self._physics), self.spec.physics_size))
        for row, physics in enumerate(self._physics):
            table[row] = physics.get_state()
        return torch.from_numpy(table)

    def _reward(self, going: list[int]) -> Tensor:  # (B,) float32, 0 in rows that stand still
        names, observed, steps = self.spec.quantities, self._domain.quantities, self.clock.step
        rewards = [0.0] * len(steps)
        # Row by row: on single numbers a reward takes half as long as on arrays of a few.
        for row in going:
            table = dict(zip(names, observed(self._physics[row]), strict=True))
            table[STEP] = steps[row]
            rewards[row] = float(self._rewards[row](table))
        return torch.tensor(rewards, dtype=torch.float32)
