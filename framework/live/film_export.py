"""Films as files: a page that plays without a server, and an animated GIF."""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bfmkit.environments.drawing import draw_bodies
from bfmkit.interfaces import Appearance
from bfmkit.live.film import Film, Footage
from bfmkit.live.scene import Scene
from bfmkit.live.server import page_server
from bfmkit.utils.errors import RefusedError
from bfmkit.utils.files import write_atomically

PICTURES_PER_SECOND = 10.0
SUFFIXES = (".html", ".gif")
"""Of films: a page that plays without a server, and a moving picture."""


def require_ending(path: Path) -> None:
    """Refuse a name that says neither page nor GIF.

    Raises:
        RefusedError: for another ending.
    """
    if path.suffix not in SUFFIXES:
        raise RefusedError(f"{path}: films are written as {' or '.join(SUFFIXES)}")


def save_film(path: Path, footage: Footage) -> None:
    """Write footage as a page (``.html``) or as an animated GIF (``.gif``).

    Raises:
        RefusedError: for another ending, or a body without meshes.
        ValueError: for footage without a state.
    """
    require_ending(path)
    appearance = footage.environment.appearance()
    if appearance is None:
        raise RefusedError(f"{footage.environment.spec.domain} cannot be drawn: its environment has no meshes")
    write = write_film if path.suffix == ".html" else write_gif
    write(path, footage.film(), appearance)


def film_html(film: Film, appearance: Appearance) -> str:
    """HTML page that plays the film without a server: viser's viewer with the recording in it.

    Raises:
        ValueError: for a film without a pose.
    """
    frames = film.frames()
    with page_server("127.0.0.1", _free_port()) as server:
        scene = Scene(server, appearance, list(film.names))
        scene.show(frames[0])
        recording = server.get_scene_serializer()
        for frame in frames:
            scene.show(frame)
            recording.insert_sleep(film.seconds())
        return str(recording.as_html())


def write_film(path: Path, film: Film, appearance: Appearance) -> None:
    """Write :func:`film_html` to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, film_html(film, appearance))


def write_gif(path: Path, film: Film, appearance: Appearance, height: int = 240, width: int = 320) -> None:
    """Draw a film, its bodies side by side, and write it as an animated GIF.

    Args:
        path: of the file.
        film: what to show.
        appearance: of every body.
        height: of a body's picture, pixels.
        width: of a body's picture, pixels.

    Raises:
        ValueError: for a film without a pose.
    """
    frames = film.frames(PICTURES_PER_SECOND)
    bodies = [draw_bodies(appearance, np.stack(poses), height, width) for poses in zip(*frames, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, gif(list(np.concatenate(bodies, axis=2)), film.seconds(PICTURES_PER_SECOND)))


def gif(pictures: Sequence[np.ndarray], seconds: float) -> bytes:
    """Animated GIF of pictures, with the seconds that each stays.

    Raises:
        ValueError: if there are none.
    """
    from PIL import Image

    if not pictures:
        raise ValueError("there is nothing to show")
    # One palette for all frames, so that nothing flickers and little changes.
    palette = Image.fromarray(pictures[len(pictures) // 2]).quantize(64)
    frames = [Image.fromarray(each).quantize(palette=palette, dither=Image.Dither.NONE) for each in pictures]
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0, optimize=True
    )
    return file.getvalue()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
