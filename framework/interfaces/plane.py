"""States over a plane, for pictures of functions of a place."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Plane:
    """States at rest in the cells of a grid, for pictures of a reward, or of a belief about one, over places.

    Args:
        observation: of each state, row by row from the bottom, each from the left.
        physics: of each state.
        rows: of the grid.
        columns: of the grid.
        extent: where the grid's edges lie: left, right, bottom, top.
        axes: what lies along the bottom and the left, with units.
        coordinates: which entries of a recorded physics say where it lies.
        walls: rectangles where no state can be: left, bottom, width, height.
    """

    observation: Tensor  # (rows * columns, o) float32
    physics: Tensor  # (rows * columns, p) float64
    rows: int
    columns: int
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]
    coordinates: tuple[int, int] = (0, 1)
    walls: tuple[tuple[float, float, float, float], ...] = ()
