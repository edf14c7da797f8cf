"""Figures of one traced run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bfmkit.evaluation.cells import folder_name
from bfmkit.inference.experiment import Run
from bfmkit.report.plots.belief import draw_belief
from bfmkit.report.plots.plane import draw_believed_reward
from bfmkit.rewards.expression import task_title
from bfmkit.runs.trace import read_run, read_trace
from bfmkit.runs.traced_plane import believed_rewards, read_plane

MOST_PLANES = 8


def draw_trace(out: Path, tasks: Sequence[str], seeds: Sequence[int]) -> None:
    """Draw the belief by step, and for the first seed the believed reward over the plane, if there is one.

    Args:
        out: the run directory.
        tasks: that were run; only so many of them get a picture of their own.
        seeds: that came through.
    """
    draw_belief(out / "figures" / "belief.png", {"agent": read_trace(out)})
    plane = read_plane(out)
    if plane is None or not seeds:
        return
    for task in tasks[:MOST_PLANES]:
        traced = read_run(out, Run(task, seeds[0]))
        beliefs = [] if traced is None else believed_rewards(plane, traced)
        if beliefs:
            path = out / "figures" / f"believed_reward_{folder_name(task)}.png"
            draw_believed_reward(
                path, plane.plane, plane.rewards[task], beliefs, f"{task_title(task)}, seed {seeds[0]}"
            )
