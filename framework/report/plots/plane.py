"""Figure of the believed reward over a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.interfaces import Plane
from bfmkit.report.plots.style import save_figure, styled, title_of
from bfmkit.runs.traced_plane import BelievedReward

WIDTH = 6.8
"""Inches; the picture spans two columns."""


@styled()
def draw_believed_reward(
    path: Path,
    plane: Plane,
    true_reward: np.ndarray,  # (rows * columns,)
    beliefs: Sequence[BelievedReward],
    title: str,
) -> None:
    """Figure of the true reward and of the believed reward after more and more labels, with the path of the body.

    All panels share one scale, that of the true reward with a margin; what is believed to lie beyond has the colour of
    the end.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    lines = -(-(len(beliefs) + 1) // 4)
    columns = -(-(len(beliefs) + 1) // lines)
    low, high = float(true_reward.min()), float(true_reward.max())
    scale = Normalize(low - 0.25 * (high - low), high) if high > low else Normalize(low - 0.5, low + 0.5)
    size = WIDTH / columns
    figure = Figure(figsize=(WIDTH, 0.88 * size * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title_of(title, 104), fontsize=8)
    axes = figure.subplots(lines, columns, squeeze=False)
    rows: list[dict[str, Any]] = _table(plane, "true", true_reward)
    show_plane(axes.flat[0], plane, true_reward, scale)
    axes.flat[0].set_title("true reward")
    for axis, belief in zip(axes.flat[1:], beliefs, strict=False):
        show_plane(axis, plane, belief.reward, scale)
        draw_way(axis, belief.path)
        axis.set_title(f"after {belief.labels} reward{'' if belief.labels == 1 else 's'}")
        rows += _table(plane, str(belief.labels), belief.reward)
    for axis in axes.flat[len(beliefs) + 1 :]:
        axis.set_visible(False)
    _label_outside(axes, len(beliefs) + 1, plane)
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, shrink=0.8, aspect=30, extend="both")
    bar.set_label("reward")
    bar.outline.set_visible(False)
    save_figure(figure, path, rows)


def _label_outside(axes: np.ndarray, shown: int, plane: Plane) -> None:
    """Label the axes at the left of each row and below the last panel of each column."""
    columns = axes.shape[1]
    for place, axis in enumerate(axes.flat[:shown]):
        if place % columns == 0:
            axis.set_ylabel(plane.axes[1])
            axis.tick_params(labelleft=True)
        if place + columns >= shown:
            axis.set_xlabel(plane.axes[0])
            axis.tick_params(labelbottom=True)


def show_plane(axis: Any, plane: Plane, values: np.ndarray, scale: Any) -> Any:
    """Draw values over the plane with its walls; returns the image."""
    from matplotlib.patches import Rectangle

    grid = np.asarray(values, dtype=float).reshape(plane.rows, plane.columns)
    image = axis.imshow(grid, origin="lower", extent=plane.extent, norm=scale, cmap="viridis", interpolation="nearest")
    for left, bottom, width, height in plane.walls:
        axis.add_patch(Rectangle((left, bottom), width, height, facecolor="#bdbdbd", edgecolor="none", zorder=2))
    axis.set(xlim=plane.extent[:2], ylim=plane.extent[2:], aspect="equal")
    axis.grid(visible=False)
    axis.tick_params(labelbottom=False, labelleft=False, length=2)
    return image


def draw_way(axis: Any, path: Sequence[np.ndarray]) -> None:
    """Draw the path of the body, a line an episode: the present one stronger, with a dot at its end."""
    from matplotlib.patheffects import Normal, Stroke

    for number, way in enumerate(path):
        if not len(way):
            continue
        last = number == len(path) - 1
        # White on a dark rim is seen on every colour of the map.
        rim = [Stroke(linewidth=2.0 if last else 1.2, foreground="black", alpha=0.6), Normal()]
        axis.plot(way[:, 0], way[:, 1], color="white", linewidth=1.0 if last else 0.5, path_effects=rim, zorder=3)
        if last:
            dot = {"marker": "o", "markersize": 4, "markeredgecolor": "black", "markeredgewidth": 0.7}
            axis.plot(way[-1:, 0], way[-1:, 1], color="white", linestyle="none", zorder=4, **dot)


def _table(plane: Plane, labels: str, reward: np.ndarray) -> list[dict[str, Any]]:
    places = plane.physics[:, list(plane.coordinates)].tolist()
    return [
        {"labels": labels, "x": x, "y": y, "reward": float(value)} for (x, y), value in zip(places, reward, strict=True)
    ]
