from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.report.rendering import RenderingError, render

MAZE = """
type: infer
bfm: {type: checkpoint, path: "zoo:walker-fb"}
environment: {type: dm_control, domain: point_mass_maze, task: reach_top_left}
agent: {type: oracle}
"""


def test_a_body_is_drawn_by_another_process(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(MAZE)
    environment = DMControlEnvironment("point_mass_maze", "reach_top_left")
    start = environment.reset_batch()[1][0].numpy()
    elsewhere = start.copy()
    elsewhere[:2] = (0.2, -0.2)
    try:
        frames = render(recipe, np.stack([start, elsewhere]), 60, 80)
    except RenderingError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    assert frames.shape == (2, 60, 80, 3)
    assert frames.dtype == np.uint8
    assert (frames[0] != frames[1]).any()


def test_what_cannot_be_drawn_is_said_in_a_line(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("type: infer\nno: recipe\n")
    with pytest.raises(RenderingError) as error:
        render(recipe, np.zeros((1, 4)), 10, 10)
    assert len(str(error.value).splitlines()) == 1
