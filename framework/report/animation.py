"""Animated picture of episodes of a traced run, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bfmkit.report.plots.plane import show_plane
from bfmkit.report.plots.style import BLUE, GREY, VERMILION, styled, title_of
from bfmkit.runs.trace import TracedRun
from bfmkit.runs.traced_plane import TracedPlane

EPISODES = (1, 3, 10)
MOST_FRAMES = 80
FRAME_MILLISECONDS, LAST_MILLISECONDS = 80, 1500
PICTURE_HEIGHT, PICTURE_WIDTH = 200, 260
DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Scene:
    """Episode of a moving picture: trace, pictures of the body, return of the oracle."""

    number: int  # counted from 1
    entries: dict[str, np.ndarray]  # of its trace, ``step`` among them
    pictures: np.ndarray | None = None  # of the body, one a frame; None where it cannot be drawn
    oracle: float | None = None  # the oracle's return in that episode, if known


def chosen_episodes(run: TracedRun) -> list[int]:
    """Numbers of the episodes to show, from 1: 1, 3 and 10, or the last of a shorter run."""
    last = int(run.episode.max()) + 1
    return sorted({min(number, last) for number in EPISODES})


def thinned(entries: dict[str, np.ndarray], most: int = MOST_FRAMES) -> dict[str, np.ndarray]:
    """Entries of a trace at evenly spaced steps, at most ``most``, the last included."""
    steps = entries["step"]
    if len(steps) <= most:
        return entries
    wanted = np.linspace(steps[0], steps[-1], most)
    kept = np.unique(np.searchsorted(steps, wanted))
    return {name: values[kept] for name, values in entries.items()}


@styled()
def animate(scenes: Sequence[Scene], title: str, plane: TracedPlane | None = None) -> tuple[bytes, bytes]:
    """Moving picture of scenes side by side, as WebP, and its last frame, as PNG.

    Above, the reward believed in over the plane, or the body; below, the return and the believed reward as they grow.

    Raises:
        ValueError: if there is nothing to show.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    if not scenes or not all(len(scene.entries["step"]) for scene in scenes):
        raise ValueError("there is no episode to show")
    looks = plane is not None or any(scene.pictures is not None for scene in scenes)
    heights = [2.1, 1.15, 1.15] if looks else [1.4, 1.4]
    figure = Figure(figsize=(6.8, sum(heights) + 0.75), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title_of(title), fontsize=8)
    axes = figure.subplots(len(heights), len(scenes), squeeze=False, height_ratios=heights)
    parts = [_Part(list(axes[:, column]), scene, plane, looks) for column, scene in enumerate(scenes)]
    _share_limits(axes[-2:], scenes)
    axes[-2, 0].set_ylabel("return so far")
    axes[-1, 0].set_ylabel("reward")
    handles, labels = axes[-1, 0].get_legend_handles_labels()
    more = axes[-2, 0].get_legend_handles_labels()
    figure.legend([*more[0], *handles], [*more[1], *labels], loc="outside lower center", ncols=4)
    canvas.draw()
    # From here on only what moves is drawn anew.
    figure.set_layout_engine("none")
    moving = [artist for part in parts for artist in part.moving]
    for artist in moving:
        artist.set_visible(False)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for artist in moving:
        artist.set_visible(True)
    frames = []
    for index in range(max(len(scene.entries["step"]) for scene in scenes)):
        canvas.restore_region(background)
        for part in parts:
            part.show(index)
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    moving_file, still_file = io.BytesIO(), io.BytesIO()
    pauses = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    frames[0].save(
        moving_file,
        format="WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=pauses,
        loop=0,
        quality=82,
        method=4,
    )
    frames[-1].save(still_file, format="PNG", optimize=True, dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    return moving_file.getvalue(), still_file.getvalue()


class _Part:
    """Column of one episode."""

    def __init__(self, axes: Sequence[Any], scene: Scene, plane: TracedPlane | None, looks: bool) -> None:
        from matplotlib.ticker import MaxNLocator

        self._scene, self._plane = scene, plane
        self._steps = scene.entries["step"]
        self.moving: list[Any] = []
        self._image: Any = None
        self._dot: Any = None
        if looks:
            self._look(axes[0])
        axes[0].set_title(f"episode {scene.number}")
        grown, rewards = axes[-2], axes[-1]
        if scene.oracle is not None:
            grown.axhline(scene.oracle, color="black", linestyle=(0, (1, 1.5)), linewidth=1, label="oracle's return")
        (self._return,) = grown.plot([], [], color=BLUE, label="return")
        (self._reward,) = rewards.plot([], [], color=GREY, linewidth=0.9, label="reward")
        self.moving += [self._return, self._reward]
        self._believed: Any = None
        if "believed_reward" in scene.entries:
            style = {"color": VERMILION, "linestyle": "--", "linewidth": 1.0}
            (self._believed,) = rewards.plot([], [], label="believed reward", **style)
            self.moving.append(self._believed)
        grown.tick_params(labelbottom=False)
        rewards.set_xlabel("step")
        for axis in (grown, rewards):
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))

    def _look(self, axis: Any) -> None:
        if self._plane is not None and "mean" in self._scene.entries:
            from matplotlib.colors import Normalize

            everything = np.stack([self._plane.believed(mean) for mean in self._scene.entries["mean"]])
            low, high = np.quantile(everything, [0.02, 0.995])
            scale = Normalize(float(low), float(max(high, low + 1e-6)))
            self._image = show_plane(axis, self._plane.plane, everything[0], scale)
            walls = list(axis.patches)
            dot = {"marker": "o", "markersize": 4, "markeredgecolor": "black", "linestyle": "none"}
            (self._dot,) = axis.plot([], [], color="white", zorder=4, **dot)
            self._maps = everything
            self.moving += [self._image, *walls, self._dot]
            axis.set_xlabel("believed reward (dark: low)", fontsize=7)
        elif self._scene.pictures is not None:
            self._image = axis.imshow(self._scene.pictures[0])
            self.moving.append(self._image)
            axis.set_axis_off()
        else:
            axis.set_axis_off()

    def show(self, index: int) -> None:
        """Draw the frame of this number; the last frame after the episode's end."""
        entries = self._scene.entries
        now = min(index, len(self._steps) - 1)
        until = slice(0, now + 1)
        if self._dot is not None and self._plane is not None:
            rows = self._plane.plane.rows
            self._image.set_data(self._maps[now].reshape(rows, -1))
            place = self._plane.way(entries["physics"][now : now + 1])[0]
            self._dot.set_data([place[0]], [place[1]])
        elif self._image is not None and self._scene.pictures is not None:
            self._image.set_data(self._scene.pictures[now])
        self._return.set_data(self._steps[until], entries["return"][until])
        self._reward.set_data(self._steps[until], entries["reward"][until])
        if self._believed is not None:
            self._believed.set_data(self._steps[until], entries["believed_reward"][until])
        for artist in self.moving:
            artist.axes.draw_artist(artist)


def _share_limits(axes: np.ndarray, scenes: Sequence[Scene]) -> None:
    """Set the same limits for all episodes, so that they can be compared."""
    last = max(float(scene.entries["step"][-1]) for scene in scenes)
    returns = [scene.entries["return"] for scene in scenes] + [
        np.array([scene.oracle]) for scene in scenes if scene.oracle is not None
    ]
    rewards = np.concatenate([scene.entries["reward"] for scene in scenes])
    believed = [scene.entries["believed_reward"] for scene in scenes if "believed_reward" in scene.entries]
    # A first belief may be far off; it must not squeeze everything else.
    shown = [rewards, *(np.quantile(each, [0.02, 0.98]) for each in believed)]
    for row, values in ((0, np.concatenate(returns)), (1, np.concatenate(shown))):
        low, high = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
        margin = 0.06 * max(high - low, 1e-6)
        for axis in axes[row]:
            axis.set(xlim=(0, last), ylim=(low - margin, high + margin))
