"""Appearance of a body: coloured meshes and their poses in recorded states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A rigid mesh of one colour.

    Args:
        vertices: in its own frame, metres.
        faces: triangles, indices of vertices.
        color: red, green, blue and opacity, from 0 to 1.
        moves: whether it has a pose of its own; others stand still in the world.
    """

    vertices: np.ndarray  # (n, 3) float32
    faces: np.ndarray  # (m, 3) int32
    color: tuple[float, float, float, float]
    moves: bool = True


@dataclass(frozen=True)
class Appearance:
    """The parts of a body and of the place around it, for viewers.

    Args:
        parts: those that move first, in the order of the poses.
        center: what a camera should look at before the body moves.
        distance: from how far away.
        follows: whether the camera should go with the body.
        from_above: whether it should look down.
        floor: the side of the square floor; 0 draws none.
    """

    parts: tuple[Part, ...]
    center: tuple[float, float, float]
    distance: float
    follows: bool = True
    from_above: bool = False
    floor: float = 40.0

    @property
    def moving(self) -> int:
        """Number of parts that move."""
        return sum(part.moves for part in self.parts)
