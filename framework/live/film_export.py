"""Films as files: a page that plays without a server, and a moving picture that a browser draws."""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import viser

from bfmkit.interfaces import Appearance
from bfmkit.live.film import Film
from bfmkit.live.scene import Scene
from bfmkit.live.server import page_server
from bfmkit.utils.files import write_atomically

RENDER_SECONDS = 30.0
PICTURES_PER_SECOND = 10.0


def film_html(film: Film, appearance: Appearance) -> str:
    """A self-contained page that plays the film: viser's own viewer with the recording in it.

    Raises:
        ValueError: for a film without a pose.
    """
    if not film.poses or not all(len(poses) for poses in film.poses):
        raise ValueError("there is no episode to show yet")
    with page_server("127.0.0.1", _free_port()) as server:
        scene = Scene(server, appearance, list(film.names))
        scene.show(film.frames()[0])
        recording = server.get_scene_serializer()
        for frame in film.frames():
            scene.show(frame)
            recording.insert_sleep(film.seconds())
        return str(recording.as_html())


def write_film(path: Path, film: Film, appearance: Appearance) -> None:
    """Write :func:`film_html` to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, film_html(film, appearance))


def draw_film(
    client: viser.ClientHandle, scene: Scene, film: Film, height: int, width: int, rate: float = 10.0
) -> list[np.ndarray]:  # (height, width, 3) uint8
    """Let the browser of a viewer draw the frames.

    Raises:
        TimeoutError: if it draws none within half a minute: the page was closed, or lies in the background.
    """
    pictures = []
    for frame in film.frames(rate):
        scene.show(frame)
        client.flush()
        picture = client.get_render(height, width, transport_format="jpeg", timeout=RENDER_SECONDS)
        pictures.append(np.asarray(picture)[..., :3])
    return pictures


def write_gif(
    path: Path, client: viser.ClientHandle, scene: Scene, film: Film, height: int = 320, width: int = 480
) -> None:
    """Let a viewer's browser draw a film, and write it as an animated GIF.

    Raises:
        TimeoutError: as :func:`draw_film`.
    """
    pictures = draw_film(client, scene, film, height, width, PICTURES_PER_SECOND)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, gif(pictures, film.seconds(PICTURES_PER_SECOND)))


def gif(pictures: Sequence[np.ndarray], seconds: float) -> bytes:
    """An animated GIF of pictures that stay for so many seconds each.

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
