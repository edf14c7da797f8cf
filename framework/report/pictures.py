"""Pictures and animations of a report."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from bfmkit.evaluation.comparison import curves, relative_returns
from bfmkit.inference.experiment import Run
from bfmkit.interfaces import Environment
from bfmkit.recipe import RecipeError, build_node
from bfmkit.report.animation import PICTURE_HEIGHT, PICTURE_WIDTH, Scene, animate, chosen_episodes, thinned
from bfmkit.report.plots.belief import draw_belief
from bfmkit.report.plots.comparison import draw_profiles, draw_return_by_episode, draw_return_by_labels
from bfmkit.report.run_reader import ReportedRun
from bfmkit.runs.frames import read_frames
from bfmkit.runs.run_directory import RECIPE
from bfmkit.runs.trace import read_run
from bfmkit.runs.traced_plane import read_plane

UNSEEN = (
    "{} cannot be drawn from recorded states; an environment of Gymnasium draws itself while it is traced: "
    "environment.arguments={{render_mode: rgb_array}}"
)
"""Said of a body without meshes."""

REDRAWN = {"return.png", "belief.png", "return_by_episode.png", "profiles.png"}
"""Pictures of single runs that the report draws for all of them together."""

SHOWN_PER_INCH = 116
"""Pixels of the page: two pictures of two panels fit beside each other, and letters of 7 points can be read."""


@dataclass(frozen=True)
class Picture:
    """Picture with title and caption."""

    image: bytes  # PNG
    title: str  # in a few words
    caption: str  # what it shows, in a sentence
    moving: bytes | None = None  # WebP, of one that moves
    is_map: bool = False  # whether it is a photograph or a map, whose colours must stay as they are

    @property
    def shown_width(self) -> int | None:
        """Width in pixels of the page, the same for every inch so that letters are equally large in all pictures; None
        for an image that cannot be read.
        """
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.image)) as image:
                return round(image.width / image.info.get("dpi", (SHOWN_PER_INCH,))[0] * SHOWN_PER_INCH)
        except OSError:
            return None


def draw_comparisons(runs: Sequence[ReportedRun], folder: Path) -> list[Picture]:
    """Pictures of all runs together; PNG and CSV files of them stay in ``folder``."""
    tables = [run.results for run in runs if run.results is not None and not run.results.is_empty()]
    found: list[Picture] = []

    def add(name: str, title: str, caption: str) -> None:
        found.append(Picture((folder / f"{name}.png").read_bytes(), title, caption))

    if tables:
        table = pl.concat(tables)
        draw_return_by_episode(folder / "return_by_episode.png", table)
        add(
            "return_by_episode",
            "Return by episode",
            "Means over seeds with 95 % bootstrap intervals; over tasks the interquartile mean of relative returns.",
        )
        if draw_return_by_labels(folder / "return_by_labels.png", table):
            add(
                "return_by_labels",
                "Return by labels",
                "Mean return of an episode against the rewards learnt from by its end.",
            )
        everything = {name: relative_returns(of_recipe) for name, of_recipe in curves(table).items()}
        relative = {name: tasks for name, tasks in everything.items() if tasks}
        if relative:
            draw_profiles(folder / "profiles.png", relative)
            add(
                "profiles",
                "Performance profiles",
                "Share of runs with a larger relative return, with 95 % bootstrap intervals.",
            )
    names = [name for table in tables for name in table["recipe"].unique(maintain_order=True)]
    traces = {_called(run): run.trace for run in runs if not run.trace.is_empty()}
    if draw_belief(folder / "belief.png", traces, names):
        add("belief", "Beliefs", "How much was known, and how near it was: means over seeds, and their range.")
    return found


def _called(run: ReportedRun) -> str:
    """Name of an inference run in the table of results."""
    return run.name if run.results is None or run.results.is_empty() else str(run.results["recipe"][0])


def own_pictures(runs: Sequence[ReportedRun]) -> list[Picture]:
    """Pictures drawn by the jobs, without those that the report draws for all runs together."""
    found = []
    for run in runs:
        for path in run.figures:
            if run.results is None or path.name not in REDRAWN:
                title = path.stem.replace("_", " ")
                is_map = path.stem.startswith("believed_reward")
                caption = f"{run.name}, drawn by its job"
                found.append(Picture(path.read_bytes(), f"{title[0].upper()}{title[1:]}", caption, is_map=is_map))
    return found


def moving_pictures(
    runs: Sequence[ReportedRun], most: int, say: Callable[[str], None]
) -> tuple[list[Picture], list[str]]:
    """Moving pictures of episodes of the first seed of every traced run, and remarks on those that could not be drawn.

    Args:
        runs: of the report.
        most: tasks of a run.
        say: called with what is being done, for it takes a while.
    """
    pictures: list[Picture] = []
    remarks: list[str] = []
    for run in runs:
        if run.trace.is_empty():
            continue
        traced_as = {label: name for name, label in run.labels.items()}
        for task in run.trace["task"].unique(maintain_order=True).to_list()[:most]:
            seed = min(run.trace.filter(pl.col("task") == task)["seed"].to_list())
            say(f"moving picture of {run.name}, {task}")
            animation, numbers, remark = _animation(run, Run(traced_as.get(task, task), seed), task)
            if remark:
                remarks.append(f"{run.name}: {remark}")
            if animation is not None:
                shown = ", ".join(map(str, numbers[:-1])) + (" and " if numbers[:-1] else "") + str(numbers[-1])
                caption = f"Episode{'s' if numbers[:-1] else ''} {shown} of {task}, seed {seed}, sped up."
                moving, still = animation
                pictures.append(Picture(still, run.name, caption, moving, is_map=True))
    return pictures, list(dict.fromkeys(remarks))


def _animation(run: ReportedRun, which: Run, task: str) -> tuple[tuple[bytes, bytes] | None, list[int], str | None]:
    traced, plane, remark = read_run(run.path, which), read_plane(run.path), None
    if traced is None:
        return None, [], f"nothing was traced of {which.task}, seed {which.seed}"
    numbers = chosen_episodes(traced)
    entries = [thinned(traced.of_episode(number - 1)) for number in numbers]
    numbers = [number for number, each in zip(numbers, entries, strict=True) if len(each["step"])]
    entries = [each for each in entries if len(each["step"])]
    if not numbers:
        return None, [], f"nothing was traced of {which.task}, seed {which.seed}"
    bodies: list[np.ndarray] | None = None
    drawn = [
        read_frames(run.path, which, number - 1, each["step"].tolist())
        for number, each in zip(numbers, entries, strict=True)
    ]
    if plane is None and all(frames is not None for frames in drawn):
        bodies = [frames for frames in drawn if frames is not None]
    elif plane is None:
        bodies, missing = _bodies(run, entries)
        remark = missing and f"the body could not be drawn ({missing}); the moving picture shows numbers alone"
    scenes = [
        Scene(number, each, None if bodies is None else bodies[index], _oracle(run, Run(task, which.seed), number))
        for index, (number, each) in enumerate(zip(numbers, entries, strict=True))
    ]
    return animate(scenes, f"{run.name}: {task}, seed {which.seed}", plane), numbers, remark


def _bodies(
    run: ReportedRun, entries: Sequence[Mapping[str, np.ndarray]]
) -> tuple[list[np.ndarray] | None, str | None]:
    """Pictures of the states of each episode; None and the reason if they cannot be drawn."""
    # The body alone is built: an agent of an older version may have had other arguments.
    node = run.recipe.get("environment")
    if node is None:
        return None, f"{RECIPE} names no environment"
    try:
        environment: Environment = build_node(Environment, node, source=str(run.path / RECIPE))
    except RecipeError as error:
        return None, str(error)
    found: list[np.ndarray] = []
    for each in entries:
        pictures = environment.pictures(torch.from_numpy(each["physics"]), PICTURE_HEIGHT, PICTURE_WIDTH)
        if pictures is None:
            return None, UNSEEN.format(environment.spec.domain)
        found.append(pictures)
    return found, None


def _oracle(run: ReportedRun, which: Run, number: int) -> float | None:
    if run.results is None:
        return None
    row = run.results.filter(
        pl.col("task") == which.task, pl.col("seed") == which.seed, pl.col("episode") == number - 1
    )
    value = row["oracle_return"].to_list()
    return float(value[0]) if value and value[0] is not None else None
