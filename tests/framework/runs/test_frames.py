from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.environments.gymnasium import GymnasiumEnvironment
from bfmkit.inference.episode import run_episode
from bfmkit.inference.experiment import Run
from bfmkit.runs.frames import HEIGHT, WIDTH, fitted, read_frames, write_frames
from bfmkit.runs.trace_writer import Tracer
from bfmkit.testing.models import LinearBFM

gymnasium = pytest.importorskip("gymnasium")


class Dial(gymnasium.Env):
    """A number that actions move, drawn as a grey that says how large it is."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,))

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.steps = render_mode, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(4, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        return np.full(4, self.steps / 100, np.float32), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        return np.full((50, 100, 3), 10 * self.steps, np.uint8)


@pytest.fixture(autouse=True)
def _registered() -> None:
    if "Dial-v0" not in gymnasium.registry:
        gymnasium.register("Dial-v0", entry_point=Dial)


def test_an_environment_that_draws_itself_is_shown_as_it_was(tmp_path: Path) -> None:
    world = GymnasiumEnvironment("Dial-v0", {"render_mode": "rgb_array"}, episode_steps=6)
    runs = [Run("own_reward", 5), Run("own_reward", 3)]
    rows = world.with_tasks([run.task for run in runs])
    rows.seed([run.seed for run in runs])
    agent, tracer = RandomAgent(), Tracer(tmp_path, 2, 0, runs, 6)
    bfm = LinearBFM()
    agent.start(bfm, [5, 3])
    with tracer.watching(agent, bfm, False, 4, nullcontext(lambda _: None)) as on_step:
        run_episode(agent, rows, on_step)
    frames = read_frames(tmp_path, Run("own_reward", 3), 4, [1, 2, 4, 6])
    assert frames is not None and frames.shape == (4, HEIGHT, WIDTH, 3)
    assert frames[:, HEIGHT // 2, WIDTH // 2, 0].tolist() == [10, 20, 40, 60]
    # Of each task, the first seed is shown.
    assert read_frames(tmp_path, Run("own_reward", 5), 4, [1]) is None
    assert read_frames(tmp_path, Run("own_reward", 3), 4, [3]) is None
    assert read_frames(tmp_path, Run("own_reward", 3), 0, [1]) is None


def test_an_environment_that_does_not_draw_leaves_nothing(tmp_path: Path) -> None:
    world = GymnasiumEnvironment("Dial-v0", episode_steps=6)
    world.reset_batch()
    assert world.frame(0) is None
    write_frames(tmp_path, 0, 0, [], {})
    assert not list(tmp_path.iterdir())


def test_frames_keep_their_shape_on_white() -> None:
    frame = fitted(np.zeros((50, 100, 3), np.uint8))
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert frame[HEIGHT // 2, 0].tolist() == [0, 0, 0] and frame[0, 0].tolist() == [255, 255, 255]
    assert torch.from_numpy(frame.copy()).dtype == torch.uint8
