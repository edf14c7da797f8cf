"""Figure of a demonstration that is followed: distance by time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.report.plots.style import BLUE, GREY, new_figure, save_figure, styled

LOOK = {"tracking": (BLUE, "tracking"), "random": (GREY, "random policies")}
"""Colour and words of each agent."""


@styled()
def draw_tracking(path: Path, curves: Mapping[str, np.ndarray], timestep: float) -> None:
    """Figure of the distance from the demonstration by time: mean and range over seeds.

    Args:
        path: of the picture; its table lies beside it.
        curves: agent -> (seeds, steps).
        timestep: seconds a step.
    """
    table: list[dict[str, Any]] = []
    figure, axes = new_figure(1, 1)
    axis = axes[0, 0]
    for who, distance in curves.items():
        color, words = LOOK[who]
        seconds = timestep * np.arange(1, distance.shape[1] + 1)
        mean, low, high = distance.mean(0), distance.min(0), distance.max(0)
        axis.plot(seconds, mean, color=color, label=words)
        axis.fill_between(seconds, low, high, color=color, alpha=0.2, linewidth=0)
        for index, moment in enumerate(seconds):
            numbers = {"distance": mean[index], "least": low[index], "largest": high[index]}
            table.append({"agent": who, "seconds": float(moment)} | {key: float(x) for key, x in numbers.items()})
    axis.set(xlabel="seconds", ylabel="distance (deviations an entry)", ylim=(0, None))
    axis.legend()
    save_figure(figure, path, table)
