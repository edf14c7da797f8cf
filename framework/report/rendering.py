"""Rendering of recorded states in another process, where GL is chosen before MuJoCo is imported.

python -m bfmkit.report.rendering RECIPE PHYSICS.npy FRAMES.npy HEIGHT WIDTH
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bfmkit.utils.errors import BfmkitError

SECONDS = 600.0


class RenderingError(BfmkitError, RuntimeError):
    """The body cannot be drawn here; the message says why."""


def render(
    recipe: Path,
    physics: np.ndarray,  # (n, p)
    height: int,
    width: int,
) -> np.ndarray:  # (n, height, width, 3) uint8
    """The body of a recipe's environment, drawn without a screen.

    Raises:
        RenderingError: if there is no way to draw on this machine, or the environment has no meshes.
    """
    # Elsewhere than on Linux, MuJoCo draws with what the system brings.
    gl = {"MUJOCO_GL": "egl"} if sys.platform == "linux" else {}
    with tempfile.TemporaryDirectory() as folder:
        states, frames = Path(folder) / "physics.npy", Path(folder) / "frames.npy"
        np.save(states, physics)
        words = [sys.executable, "-m", "bfmkit.report.rendering", *map(str, (recipe, states, frames, height, width))]
        try:
            done = subprocess.run(
                words, env={**os.environ, **gl}, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RenderingError(f"drawing took longer than {SECONDS:.0f} s") from error
        if done.returncode != 0 or not frames.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise RenderingError(said[-1] if said else f"drawing ended with code {done.returncode}")
        return np.load(frames)


def main(arguments: list[str]) -> int:
    """Draw, in the process that :func:`render` starts."""
    import torch

    from bfmkit.recipe import load_recipe
    from bfmkit.registry import discovery

    recipe, states, frames, height, width = arguments
    discovery.add_project(Path.cwd())
    environment = load_recipe(Path(recipe)).root.arguments["environment"].build()
    pictures = environment.pictures(torch.from_numpy(np.load(states)), int(height), int(width))
    if pictures is None:
        sys.stderr.write(
            f"{environment.spec.domain} cannot be drawn from recorded states; an environment of Gymnasium draws itself "
            "while it is traced: environment.arguments={render_mode: rgb_array}\n"
        )
        return 1
    np.save(frames, pictures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
