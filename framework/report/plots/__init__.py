"""Figures of runs in one style: legible at a column's width and in colour blindness."""

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
