"""Test world that is solved exactly: a point that moves freely in the unit ball."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM, Environment, EnvironmentSpec, StepResult
from bfmkit.rewards.expression import STEP
from bfmkit.utils.rng import normal_noise


def ball_spec(dim: int = 4, episode_steps: int = 20) -> EnvironmentSpec:
    """Spec of :class:`BallEnvironment`: as many tasks as dimensions, ``task_i`` rewarding coordinate i."""
    return EnvironmentSpec(
        domain="ball",
        observation_size=dim,
        action_size=dim,
        physics_size=dim,
        episode_steps=episode_steps,
        control_timestep=1.0,
        tasks=tuple(f"task_{index}" for index in range(dim)),
        quantities=tuple(f"x_{index}" for index in range(dim)),
    )


class LinearBFM(BFM):
    r"""The exact behaviour foundation model of :class:`BallEnvironment`.

    φ(s, a, s') = s',  π_z(s) = z/‖z‖,  ψ(s, a, z) = P(a) + γ/(1−γ) · z/‖z‖,  policy_latent(w) = √d · w/‖w‖

    with P the projection onto the unit ball: where the point goes depends on the action alone, so a policy's features
    are those of the action it always takes. The best return of a reward w is ‖w‖ a step.

    Args:
        dim: d, the size of observation, action and features.
        discount: γ.
        critics: E; all members are equal, for all are exact.
        labelled: how many transitions :meth:`inference_set` holds; 0: none.
        episode_steps: of the spec.
    """

    def __init__(
        self, dim: int = 4, discount: float = 0.9, critics: int = 2, labelled: int = 64, episode_steps: int = 20
    ) -> None:
        super().__init__()
        self.environment_spec = ball_spec(dim, episode_steps)
        self.dim, self.discount, self.critics, self.labelled = dim, discount, critics, labelled

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return next_observation

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        forever = torch.nn.functional.normalize(z, dim=-1)
        first = forever if action is None else into_ball(action)
        value = first + self.discount / (1.0 - self.discount) * forever
        batch = torch.broadcast_shapes(observation.shape[:-1], value.shape[:-1])
        return value.expand(*batch, self.dim).unsqueeze(-2).expand(*batch, self.critics, self.dim)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(observation.shape[:-1], z.shape[:-1])
        return torch.nn.functional.normalize(z, dim=-1).expand(*batch, self.dim)

    def policy_latent(self, weights: Tensor) -> Tensor:
        return self.dim**0.5 * torch.nn.functional.normalize(weights, dim=-1)

    def inference_set(self) -> TensorDict | None:
        if self.labelled == 0:
            return None
        noise = normal_noise([0], "inference set", [0], (2, self.labelled, self.dim))[0]
        after = into_ball(noise[1])
        following = TensorDict({"observation": after.float(), "physics": after}, [self.labelled])
        return TensorDict(
            {"observation": into_ball(noise[0]).float(), "action": after.float(), "next": following}, [self.labelled]
        )


class BallEnvironment(Environment):
    """Point in the unit ball, moved by the action; task i rewards coordinate i.

    Args:
        dim: of the ball.
        episode_steps: until truncation.
        tasks: of the rows.
        lengths: where given, row i terminates after ``lengths[i]`` steps.
    """

    def __init__(
        self,
        dim: int = 4,
        episode_steps: int = 20,
        tasks: Sequence[str] = ("task_0",),
        lengths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(ball_spec(dim, episode_steps), tasks)
        self._lengths = list(lengths) if lengths is not None else [episode_steps + 1] * len(self.tasks)
        self._position = torch.zeros(len(self.tasks), dim, dtype=torch.float64)

    def with_tasks(self, tasks: Sequence[str]) -> BallEnvironment:
        return BallEnvironment(self.spec.observation_size, self.spec.episode_steps, tasks)

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self._position = self._position.clone()
        for row, seed, episode in self.clock.begin(rows):
            noise = normal_noise([seed], "ball", [episode], (self.spec.observation_size,))
            self._position[row] = into_ball(noise)[0]
        return self._position.float(), self._position.clone()

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:
        if action.shape != self._position.shape:
            raise ValueError(f"actions must be {tuple(self._position.shape)}, got {tuple(action.shape)}")
        if not action.isfinite().all():
            row = int((~action.isfinite()).any(dim=-1).nonzero()[0])
            raise ValueError(f"the action of row {row} is not finite")
        going = self.clock.advance(rows)
        position, reward = self._position.clone(), torch.zeros(len(self.tasks))
        position[going] = into_ball(action.double())[going]
        self._position = position
        for row in going:
            step = self.clock.step[row]
            table = dict(zip(self.spec.quantities, position[row].tolist(), strict=True)) | {STEP: step}
            reward[row] = float(self.reward_of(self.tasks[row])(table))
            self.clock.terminated[row] = step >= self._lengths[row]
        terminated, truncated = torch.tensor(self.clock.terminated), self.clock.truncated()
        return StepResult(position.float(), reward, terminated, truncated, position.clone())

    def snapshot(self) -> dict[str, Any]:
        return {"position": self._position.clone(), "clock": self.clock.snapshot()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._position = state["position"].clone()
        self.clock.restore(state["clock"])

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        self.spec.require_named_task(task)
        name = self.spec.quantities[self.spec.tasks.index(task)]
        return lambda table: table[name]

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:
        if physics.ndim != 2 or physics.shape[1] != self.spec.physics_size:
            raise ValueError(f"physics must be (n, {self.spec.physics_size}), got {tuple(physics.shape)}")
        if action.shape != (len(physics), self.spec.action_size):
            raise ValueError(f"actions must be ({len(physics)}, {self.spec.action_size}), got {tuple(action.shape)}")
        return {name: physics[:, index].double() for index, name in enumerate(self.spec.quantities)}


def into_ball(point: Tensor) -> Tensor:  # (*b, d) -> (*b, d)
    """Nearest point of the unit ball."""
    return point / torch.linalg.vector_norm(point, dim=-1, keepdim=True).clamp(min=1.0)
