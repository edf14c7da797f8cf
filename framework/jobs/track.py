"""Job ``track``: how closely an agent follows a demonstration."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bfmkit.inference.episode import Step
from bfmkit.inference.experiment import Run, run_episodes
from bfmkit.interfaces import BFM, Agent, Environment, Job, Schedule
from bfmkit.registry import lookup, register
from bfmkit.report.plots.tracking import draw_tracking
from bfmkit.runs.run_directory import METRICS, append_metrics, read_metrics, write_summary
from bfmkit.utils.checks import PositiveInt

WHO = ("tracking", "random")


@register(Job, "track")
class TrackJob(Job):
    r"""Distance of the agent ``tracking`` from the demonstration that it follows, step by step.

    distance_t = ‖(s_{t+1} − x_t)/σ‖/√o

    x is the demonstration, σ the deviation of each of the o entries over the model's inference set, so 1 is about as
    far as a state drawn from the data is from the middle. Beside it stands the agent ``random`` from the same first
    states: whoever is no closer than that does not track. Episodes begin where the environment begins them and not
    where the demonstration does, so the first steps are a way there. ``summary.json`` has ``distance``, the mean over
    the second half, ``distance_by_seed``, and with ``hold`` above 1 ``distance_at_end_of_hold``, the mean over seeds at
    the last step of each row that the episode is long enough for.

    Args:
        bfm: the model whose policies to act with.
        environment: where.
        demonstration: a file with ``observation`` (n, o), one row a step.
        lookahead: rows that are aimed at together.
        hold: steps for which a row is aimed at; 1 for a demonstration, more for a list of goals.
        seeds: how many episodes, each from its own first state.
        seed: of the first.

    Raises:
        ValueError: if a number is less than 1, or the file or the environment does not fit the model.
        FileNotFoundError: if there is no such file.

    Example:
        ``bfmkit run track demonstration=walk.npz``
    """

    logs = False

    def __init__(
        self,
        bfm: BFM,
        environment: Environment,
        demonstration: Path,
        lookahead: PositiveInt = 8,
        hold: PositiveInt = 1,
        seeds: PositiveInt = 3,
        seed: int = 0,
    ) -> None:
        self.bfm, self.environment = bfm, environment.fitted_to(bfm.environment_spec, "the model")
        self.agents: dict[str, Agent] = {
            "tracking": lookup(Agent, "tracking")(Path(demonstration), lookahead, hold),
            "random": lookup(Agent, "random")(lookup(Schedule, "every")(100)),
        }
        self.hold, self.seeds = hold, range(seed, seed + seeds)
        observation = self.agents["tracking"].observation.double()  # type: ignore[attr-defined]
        # What does not fit is refused now, and not when the run directory is there.
        self.agents["tracking"].start(bfm, [seed])
        self.path = observation.repeat_interleave(hold, 0)
        known = bfm.inference_set()
        if known is None:
            raise ValueError("tracking: this model brings no inference set to measure distances by")
        self.spread = known["next", "observation"].double().std(0).clamp(min=1e-3)

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Follow the demonstration; does nothing on a finished run directory."""
        self.bfm.to(device)
        if not (out / METRICS).is_file():
            # Both at once, so that an interrupted run begins anew.
            append_metrics(out, [row for who in WHO for row in self._follow(who)])
        rows = read_metrics(out)
        curves = {who: np.array([row["distance"] for row in rows if row["agent"] == who]) for who in WHO}
        draw_tracking(out / "figures" / "tracking.png", curves, self.environment.spec.control_timestep)
        half = curves["tracking"].shape[1] // 2
        later = {who: curve[:, half:].mean(1) for who, curve in curves.items()}
        summary: dict[str, Any] = {
            "steps": curves["tracking"].shape[1],
            "seeds": len(self.seeds),
            "distance": {who: float(distances.mean()) for who, distances in later.items()},
            "distance_by_seed": {who: distances.tolist() for who, distances in later.items()},
        }
        if self.hold > 1:
            ends = slice(self.hold - 1, None, self.hold)
            summary["distance_at_end_of_hold"] = {who: curve[:, ends].mean(0).tolist() for who, curve in curves.items()}
        write_summary(out, summary)
        tracking, random = summary["distance"]["tracking"], summary["distance"]["random"]
        sys.stderr.write(
            f"distance over the second half: {tracking:.2f} deviations an entry; with random policies {random:.2f}\n"
        )
        return summary

    def _follow(self, who: str) -> list[dict[str, Any]]:
        """The distance at each step of each episode."""
        steps = min(len(self.path), self.environment.spec.episode_steps)
        distances = np.zeros((len(self.seeds), steps))

        def on_step(step: Step) -> None:
            if step.index < steps:
                away = (step.outcome.observation.cpu().double() - self.path[step.index]) / self.spread
                distances[:, step.index] = away.square().mean(-1).sqrt().numpy()

        runs = [Run(self.environment.tasks[0], seed) for seed in self.seeds]
        for _ in run_episodes(self.agents[who], self.bfm, self.environment, runs, 1, lambda _: nullcontext(on_step)):
            pass
        pairs = zip(self.seeds, distances, strict=True)
        return [{"agent": who, "seed": seed, "distance": distance.tolist()} for seed, distance in pairs]
