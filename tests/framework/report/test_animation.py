from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bfmkit.inference.experiment import Run
from bfmkit.report.animation import Scene, animate, chosen_episodes, thinned
from bfmkit.runs.trace import read_run


def test_episodes_of_a_traced_run_are_shown_side_by_side(finder: Path) -> None:
    run = read_run(finder, Run("task_0", 1))
    assert run is not None
    assert chosen_episodes(run) == [1, 3]
    scenes = [Scene(number, thinned(run.of_episode(number - 1)), None, 20.0) for number in (1, 3)]
    moving, still = (Image.open(io.BytesIO(content)) for content in animate(scenes, "task_0"))
    assert (moving.format, still.format) == ("WEBP", "PNG")
    assert moving.n_frames == 5  # steps 1, 5, 10, 15 and 20
    assert moving.size == still.size
    last = np.asarray(still.convert("RGB")).astype(int)
    moving.seek(0)
    first = np.asarray(moving.convert("RGB")).astype(int)
    moving.seek(4)
    again = np.asarray(moving.convert("RGB")).astype(int)
    assert np.abs(again - last).mean() < 3  # but for what compression does
    assert np.abs(first - last).mean() > 2 * np.abs(again - last).mean()


def test_pictures_of_a_body_are_shown_where_there_are_some(finder: Path) -> None:
    run = read_run(finder, Run("task_0", 1))
    assert run is not None
    entries = run.of_episode(0)
    red = np.zeros((len(entries["step"]), 20, 26, 3), np.uint8)
    red[..., 0] = 255
    with_body = Image.open(io.BytesIO(animate([Scene(1, entries, red)], "x")[1])).convert("RGB")
    without = Image.open(io.BytesIO(animate([Scene(1, entries)], "x")[1])).convert("RGB")

    def reds(image: Image.Image) -> int:
        pixels = np.asarray(image)
        return int(((pixels[..., 0] > 250) & (pixels[..., 1] < 5) & (pixels[..., 2] < 5)).sum())

    assert reds(with_body) > 1000
    assert reds(without) == 0


def test_a_long_episode_is_thinned_to_its_end() -> None:
    entries = {"step": np.arange(1, 1001), "return": np.arange(1000.0)}
    thin = thinned(entries, 50)
    assert len(thin["step"]) <= 50
    assert (thin["step"][0], thin["step"][-1]) == (1, 1000)
    assert (thin["return"] == thin["step"] - 1).all()
    assert len(thinned(entries, 5000)["step"]) == 1000


def test_nothing_cannot_be_shown() -> None:
    with pytest.raises(ValueError, match="no episode"):
        animate([], "x")
