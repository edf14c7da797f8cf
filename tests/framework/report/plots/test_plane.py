from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from bfmkit.interfaces import Plane
from bfmkit.report.plots.plane import draw_believed_reward
from bfmkit.runs.traced_plane import BelievedReward


def plane() -> Plane:
    states = torch.tensor([[x, y] for y in (0.5, 1.5) for x in (0.5, 1.5, 2.5)], dtype=torch.float64)
    return Plane(states.float(), states, 2, 3, (0.0, 3.0, 0.0, 2.0), ("x", "y"), walls=((1.0, 0.0, 0.2, 1.0),))


def test_every_belief_is_drawn_beside_the_truth(tmp_path: Path) -> None:
    truth = np.arange(6.0)
    way = (np.array([[0.5, 0.5], [1.5, 1.5]]),)
    beliefs = [BelievedReward(1, truth / 2, way), BelievedReward(20, truth, (*way, np.zeros((0, 2))))]
    draw_believed_reward(tmp_path / "x.png", plane(), truth, beliefs, "reach")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["labels"] for row in rows] == ["true"] * 6 + ["1"] * 6 + ["20"] * 6
    assert (rows[5]["x"], rows[5]["y"], rows[5]["reward"]) == ("2.5", "1.5", "5.0")
    colours = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).reshape(-1, 3)
    assert (colours == [189, 189, 189]).all(-1).any()  # the wall
    assert (colours == [253, 231, 36]).all(-1).any()  # the highest reward's yellow


def test_a_reward_that_is_the_same_everywhere_is_drawn(tmp_path: Path) -> None:
    draw_believed_reward(tmp_path / "x.png", plane(), np.zeros(6), [BelievedReward(1, np.zeros(6), ())], "nothing")
    assert (tmp_path / "x.png").is_file()


def test_outer_panels_have_numbers_and_names(tmp_path: Path, drawn: list[Figure]) -> None:
    beliefs = [BelievedReward(count, np.arange(6.0), ()) for count in range(1, 7)]
    draw_believed_reward(tmp_path / "x.png", plane(), np.arange(6.0), beliefs, "reach")
    shown = [axis for axis in drawn[0].axes if axis.get_visible()][:7]  # four, and three below them
    for name, axes in (("x", {3, 4, 5, 6}), ("y", {0, 4})):
        assert {number for number, axis in enumerate(shown) if getattr(axis, f"get_{name}label")()} == axes
        labels = [getattr(axis, f"get_{name}ticklabels")() for axis in shown]
        assert {number for number, each in enumerate(labels) if any(one.get_visible() for one in each)} == axes
