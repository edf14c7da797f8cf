"""Recorded episodes of a traced run, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import viser
from viser import uplot

from bfmkit.inference.experiment import Run
from bfmkit.interfaces import Environment
from bfmkit.live.film import Footage
from bfmkit.live.scene import Scene
from bfmkit.recipe import build_node
from bfmkit.recipe.yaml_text import read
from bfmkit.report.animation import chosen_episodes
from bfmkit.runs.run_directory import RECIPE
from bfmkit.runs.trace import TracedRun, read_episodes, read_run
from bfmkit.utils.errors import RefusedError

COLORS = ("#5682be", "#d67a3c", "#60a06e")
FRAME_SECONDS = 1 / 20
PLOTTED = {"return": "Return so far", "believed_reward": "Reward believed in"}
"""What of a trace has a plot, and its title."""


class NoRecordingError(RefusedError, ValueError):
    """Error of a run directory without a trace to play."""


@dataclass
class Recording:
    """Episodes 1, 3 and 10 of one run of a traced run directory; the last of a shorter one instead."""

    directory: Path  # of the run
    environment: Environment  # whose bodies they are
    runs: list[Run]  # all that were traced
    chosen: Run = field(init=False)
    traced: TracedRun = field(init=False)
    numbers: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.choose(self.runs[0])

    @classmethod
    def load(cls, directory: Path) -> Recording:
        """Recording read from a run directory.

        Raises:
            NoRecordingError: if there is no run, or none that was traced, or its body has no meshes.
        """
        recipe = directory / RECIPE
        if not recipe.is_file():
            raise NoRecordingError(f"{directory}: no run directory: it has no {RECIPE}")
        found = list(dict.fromkeys(run for episode in read_episodes(directory) for run in episode.runs))
        if not found:
            raise NoRecordingError(f"{directory}: nothing recorded; run it with trace_every=1")
        # The body alone: an agent of an older version may have had other arguments.
        node = read(recipe.read_text(encoding="utf-8"))["environment"]
        environment: Environment = build_node(Environment, node, source=str(recipe))
        if environment.appearance() is None:
            raise NoRecordingError(f"{directory}: {environment.spec.domain} has no meshes to draw")
        return cls(directory, environment, found)

    def choose(self, run: Run) -> None:
        """Select another task or seed."""
        traced = read_run(self.directory, run)
        if traced is None:
            raise NoRecordingError(f"{self.directory}: nothing recorded of {run.task}, seed {run.seed}")
        self.chosen, self.traced = run, traced
        self.numbers = chosen_episodes(traced)

    def episodes(self) -> list[dict[str, np.ndarray]]:
        """Trace of each chosen episode."""
        return [self.traced.of_episode(number - 1) for number in self.numbers]

    def poses(self) -> list[np.ndarray]:  # (T, parts, 7) each
        """Poses of each chosen episode."""
        return [self.environment.poses(torch.from_numpy(each["physics"])) for each in self.episodes()]

    def footage(self) -> Footage:
        """The chosen episodes as they were traced."""
        episodes = self.episodes()
        names = tuple(f"episode {number}" for number in self.numbers)
        every = int(np.diff(episodes[0]["step"]).max(initial=1))
        physics = tuple(each["physics"] for each in episodes)
        return Footage(self.environment, names, physics, every * self.environment.spec.control_timestep)

    def summary(self) -> str:
        """Task, seed and return of each chosen episode."""
        returns = ", ".join(
            f"episode {number}: {each['return'][-1]:.0f}"
            for number, each in zip(self.numbers, self.episodes(), strict=True)
        )
        return f"{_label(self.chosen)}; returns: {returns}"


class RecordedPage:
    """Page that plays a recording in a loop.

    Args:
        server: of the page.
        recording: what to play.
    """

    def __init__(self, server: viser.ViserServer, recording: Recording) -> None:
        self.server, self.recording = server, recording
        appearance = recording.environment.appearance()
        if appearance is None:
            raise NoRecordingError(f"{recording.environment.spec.domain} has no meshes to draw")
        self._appearance = appearance
        self._names: tuple[str, ...] = ()
        self._plots: tuple[Any, ...] = ()
        self._wanted: Run | None = None
        self._build()
        self._take(recording.chosen)

    def _build(self) -> None:
        gui = self.server.gui
        self._words = gui.add_markdown("")
        labels = [_label(run) for run in self.recording.runs]
        chosen = gui.add_dropdown("Task", labels, initial_value=labels[0])
        chosen.on_update(lambda _: self._ask(self.recording.runs[labels.index(chosen.value)]))
        self._playing = gui.add_checkbox("Play", True)
        self._second: Any = gui.add_slider("Second", 0.0, 1.0, 0.05, 0.0)

    def _show_names(self, names: tuple[str, ...]) -> None:
        """Scene and plots for episodes of these names, instead of those of the last run."""
        if names == self._names:
            return
        self._names = names
        self.server.scene.reset()
        self.scene = Scene(self.server, self._appearance, list(names))
        for plot in self._plots:
            plot.remove()
        line = np.zeros(1)
        series = (
            uplot.Series(label="s"),
            *(uplot.Series(label=name, stroke=color, width=2) for name, color in zip(names, COLORS, strict=False)),
        )
        shape: Any = {"scales": {"x": uplot.Scale(time=False)}, "aspect": 1.7}
        self._plots = tuple(
            self.server.gui.add_uplot((line,) * len(series), series, title=title, **shape) for title in PLOTTED.values()
        )

    def _ask(self, run: Run) -> None:
        self._wanted = run

    def _take(self, run: Run) -> None:
        if run != self.recording.chosen:
            self.recording.choose(run)
        episodes = self.recording.episodes()
        self._show_names(tuple(f"episode {number}" for number in self.recording.numbers))
        self._poses, step = self.recording.poses(), self.recording.environment.spec.control_timestep
        self._times = [each["step"] * step for each in episodes]
        self._second.max = float(max(times[-1] for times in self._times))
        self._second.value = 0.0
        grid = self._times[int(np.argmax([len(times) for times in self._times]))]
        for plot, name in zip(self._plots, PLOTTED, strict=True):
            if all(name in each for each in episodes):
                rows = [np.interp(grid, times, each[name]) for times, each in zip(self._times, episodes, strict=True)]
                plot.data = (np.asarray(grid, float), *(np.asarray(row, float) for row in rows))
        self._words.content = self.recording.summary()

    def show(self, second: float) -> None:
        """Every body where it was then."""
        frames = [
            poses[min(int(np.searchsorted(times, second)), len(poses) - 1)]
            for poses, times in zip(self._poses, self._times, strict=True)
        ]
        self.scene.show(frames)

    def run(self, until: Callable[[], bool], sleep: Callable[[float], None]) -> None:
        """Play until told to stop."""
        while not until():
            if self._wanted is not None:
                wanted, self._wanted = self._wanted, None
                self._take(wanted)
            if self._playing.value:
                following = self._second.value + FRAME_SECONDS
                self._second.value = following if following <= self._second.max else 0.0
            self.show(float(self._second.value))
            sleep(FRAME_SECONDS)


def _label(run: Run) -> str:
    return f"{run.task}, seed {run.seed}"
