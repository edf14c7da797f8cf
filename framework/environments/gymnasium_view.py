"""Our environments as Gymnasium environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch

from bfmkit.interfaces import Environment
from bfmkit.registry import lookup


class GymnasiumView(gymnasium.Env):
    """One row of an environment as a ``gymnasium.Env``.

    ``gymnasium.make("bfmkit/walker-run-v0")`` makes one. ``info`` holds ``physics``, from which any task's reward can
    be computed. Seeded, an episode begins as ours with that seed does; without a seed the next one does.

    Args:
        environment: its first row's task is the reward.
        render_mode: ``rgb_array``, or None.
        height: of pictures, in pixels.
        width: of pictures, in pixels.

    Raises:
        ValueError: for another render mode, or for pictures of a body that cannot be drawn.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 50}

    def __init__(
        self, environment: Environment, render_mode: str | None = None, height: int = 240, width: int = 320
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be rgb_array, got {render_mode!r}")
        self.environment = environment.with_tasks(environment.tasks[:1])
        spec = environment.spec
        self.render_mode, self._size = render_mode, (height, width)
        self.metadata = {**type(self).metadata, "render_fps": round(1 / spec.control_timestep)}
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (spec.observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (spec.action_size,), np.float32)
        self._physics = torch.zeros(1, spec.physics_size, dtype=torch.float64)
        self._is_seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode: observation (o,), and the physics in ``info``."""
        super().reset(seed=seed)
        if seed is not None or not self._is_seeded:
            self.environment.seed([int(self.np_random.integers(2**31)) if seed is None else seed])
            self._is_seeded = True
        observation, self._physics = self.environment.reset_batch()
        return observation[0].numpy(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take an action (a,) in [-1, 1].

        Raises:
            ValueError: if its shape is another, or an entry is not finite.
        """
        outcome = self.environment.step_batch(torch.as_tensor(np.asarray(action), dtype=torch.float32).unsqueeze(0))
        self._physics = outcome.physics
        flags = bool(outcome.terminated[0]), bool(outcome.truncated[0])
        return outcome.observation[0].numpy(), float(outcome.reward[0]), *flags, self._info()

    def render(self) -> np.ndarray | None:  # (height, width, 3) uint8
        """Picture of the present state, drawn on the CPU; None without a render mode."""
        if self.render_mode is None:
            return None
        return self.environment.render(*self._size)[0]

    def close(self) -> None:
        """Close the row."""
        self.environment.close(raise_if_closed=False)

    def _info(self) -> dict[str, Any]:
        return {"physics": self._physics[0].numpy()}


def make_dm_control(
    domain: str, task: str | None = None, render_mode: str | None = None, **words: Any
) -> GymnasiumView:
    """Gymnasium environment of a ``dm_control`` body; ``words`` are its further arguments, such as ``reward``."""
    return GymnasiumView(lookup(Environment, "dm_control")(domain=domain, task=task, **words), render_mode)
