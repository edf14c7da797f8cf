"""Pictures of bodies that only their environment can draw, taken while a run is traced."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.inference.experiment import Run
from bfmkit.runs.trace import TRACE
from bfmkit.utils.files import write_atomically

HEIGHT, WIDTH = 200, 260
"""Pixels that a frame is fitted into, as moving pictures of reports show it."""


def fitted(frame: np.ndarray) -> np.ndarray:  # (h, w, 3) uint8 -> (HEIGHT, WIDTH, 3)
    """The frame as large as fits, on white."""
    from PIL import Image, ImageOps

    image = ImageOps.contain(Image.fromarray(frame), (WIDTH, HEIGHT))
    return np.asarray(ImageOps.pad(image, (WIDTH, HEIGHT), color="white"))


def write_frames(
    out: Path,
    batch: int,
    episode: int,
    runs: Sequence[Run],
    frames: Mapping[int, Mapping[int, np.ndarray]],  # row -> step of the episode -> frame
) -> None:
    """One file an episode of a batch; none where nothing was drawn."""
    if not any(frames.values()):
        return
    arrays: dict[str, Any] = {}
    for row, by_step in frames.items():
        arrays[f"{row}.steps"] = np.array(list(by_step))
        arrays[f"{row}.frames"] = np.stack(list(by_step.values()))
    names = {str(row): [runs[row].task, runs[row].seed] for row in frames}
    file = io.BytesIO()
    np.savez_compressed(file, runs=np.array(json.dumps(names)), episode=np.array(episode), **arrays)
    (out / TRACE).mkdir(parents=True, exist_ok=True)
    write_atomically(out / TRACE / f"frames-{batch:05d}-{episode:05d}.npz", file.getvalue())


def read_frames(
    run_directory: Path, run: Run, episode: int, steps: Sequence[int]
) -> np.ndarray | None:  # (n, HEIGHT, WIDTH, 3) uint8
    """The frames of some steps of an episode, from 0; None where they were not drawn."""
    for path in sorted((run_directory / TRACE).glob(f"frames-*-{episode:05d}.npz")):
        with np.load(path, allow_pickle=False) as content:
            for row, name in json.loads(str(content["runs"])).items():
                if Run(*name) == run:
                    known = dict(zip(content[f"{row}.steps"].tolist(), content[f"{row}.frames"], strict=True))
                    return np.stack([known[step] for step in steps]) if set(steps) <= set(known) else None
    return None
