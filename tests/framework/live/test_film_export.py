from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.live.film import Film
from bfmkit.live.film_export import film_html, gif, write_gif


def test_a_film_is_a_page_of_its_own() -> None:
    environment = DMControlEnvironment("walker", "stand")
    _, physics = environment.reset_batch()
    film = Film(("walker",), (environment.poses(physics.repeat(9, 1)),), 0.025)
    page = film_html(film, environment.appearance())
    assert page.startswith("<!") and "__VISER_EMBED_DATA__" in page and len(page) < 3_000_000
    with pytest.raises(ValueError, match="no episode"):
        film_html(Film((), (), 0.025), environment.appearance())


def test_bodies_are_side_by_side_in_a_gif(tmp_path: Path) -> None:
    environment = DMControlEnvironment("walker", "stand")
    _, physics = environment.reset_batch()
    poses = environment.poses(physics.repeat(9, 1))
    poses[4:, :, 2] += 0.5
    write_gif(tmp_path / "film.gif", Film(("a", "b"), (poses, poses), 0.1), environment.appearance(), 48, 64)
    image = Image.open(io.BytesIO((tmp_path / "film.gif").read_bytes()))
    assert (image.n_frames, image.size) == (2, (128, 48))  # frames that are the same are one, shown for longer
    with pytest.raises(ValueError, match="no episode"):
        write_gif(tmp_path / "none.gif", Film((), (), 0.1), environment.appearance())


def test_a_gif_moves_and_is_small(tmp_path: Path) -> None:
    pictures = [np.full((40, 60, 3), 200, np.uint8) for _ in range(5)]
    for index, picture in enumerate(pictures):
        picture[10:20, 10 * index : 10 * index + 10] = (90, 120, 190)
    written = gif(pictures, 0.1)
    image = Image.open(io.BytesIO(written))
    assert (image.n_frames, image.size, image.info["duration"]) == (5, (60, 40), 100)
    image.seek(4)
    assert np.asarray(image.convert("RGB"))[15, 45, 2] > 150 > np.asarray(image.convert("RGB"))[15, 45, 0]
    with pytest.raises(ValueError, match="nothing to show"):
        gif([], 0.1)
