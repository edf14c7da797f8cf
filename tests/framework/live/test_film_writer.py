from __future__ import annotations

import time
from pathlib import Path

import torch
from PIL import Image

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.interfaces import Environment
from bfmkit.live.film import Footage
from bfmkit.live.film_writer import FilmWriter
from bfmkit.testing.models import BallEnvironment


def footage(environment: Environment, steps: int) -> Footage:
    """The body as it falls."""
    _, physics = environment.reset_batch()
    still = torch.zeros(1, environment.spec.action_size)
    states = [physics, *(environment.step_batch(still).physics for _ in range(steps))]
    return Footage(environment, ("falling",), (torch.cat(states).numpy(),), environment.spec.control_timestep)


def test_a_body_moves_on_while_its_film_is_written(tmp_path: Path) -> None:
    environment = DMControlEnvironment("walker", "stand")
    told: list[tuple[Path, str | None]] = []
    writer = FilmWriter(lambda path, error: told.append((path, error)))
    assert not writer.is_busy
    path = tmp_path / "films" / "walker.gif"
    writer.write(path, footage(environment, 40))
    steps = 0
    while writer.is_busy:
        environment.step_batch(torch.zeros(1, 6))
        steps += 1
    while not told:
        time.sleep(0.02)
    assert told == [(path, None)] and steps > 40
    with Image.open(path) as image:
        assert image.n_frames > 5


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    told: list[str | None] = []
    writer = FilmWriter(lambda _, error: told.append(error))
    for path in (tmp_path / "ball.html", tmp_path / "ball.mov"):
        before = len(told)
        writer.write(path, footage(BallEnvironment(tasks=["task_0"]), 3))
        while len(told) == before:
            time.sleep(0.02)
    assert "no meshes" in str(told[0]) and "as .html or .gif" in str(told[1])
    assert list(tmp_path.iterdir()) == []
