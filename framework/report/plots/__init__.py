"""Figures of runs, all in one style: readable at the width of a column, and without telling red from green."""

from bfmkit.report.plots.returns import draw_returns
from bfmkit.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    new_figure,
    save_figure,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "SKY",
    "STYLE",
    "VERMILION",
    "draw_returns",
    "new_figure",
    "save_figure",
]
