"""Job ``infer``: online task inference."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from bfmkit.evaluation.relative_return import DEFINITION, TaskReturns, counted, overall_summary
from bfmkit.inference.calibration import RESIDUALS, Calibration
from bfmkit.inference.episode import Episode, EpisodeSnapshot, Step
from bfmkit.inference.experiment import Experiment, Role, policy_entry, run_episodes, stats_numbers, window_numbers
from bfmkit.interfaces import Agent, Job, JobError
from bfmkit.registry import register
from bfmkit.report.plots import draw_returns
from bfmkit.rewards.expression import task_title
from bfmkit.runs.checkpoint import InferenceCheckpoint
from bfmkit.runs.metric_log import MetricLog
from bfmkit.runs.run_directory import (
    FLOOR_METRICS,
    METRICS,
    ORACLE_METRICS,
    append_metrics,
    read_metrics,
    rewrite_metrics,
    write_summary,
)
from bfmkit.runs.run_records import RunRecords
from bfmkit.runs.trace_writer import Tracer
from bfmkit.runs.traced_plane import write_plane
from bfmkit.training.allocator import keep_freed_memory
from bfmkit.utils.progress_bar import ProgressBar

logger = logging.getLogger(__name__)

STEPS_SHOWN_TOGETHER = 50

FILES: dict[Role, str] = {"agent": METRICS, "oracle": ORACLE_METRICS, "floor": FLOOR_METRICS}

DOING: dict[Role, str] = {
    "agent": "agent",
    "oracle": "oracle, the upper reference, which is told the task",
    "floor": "floor, the lower reference, which learns nothing",
}


@dataclass(frozen=True)
class Stage:
    """Batch of runs of one role: the agent, the oracle or the floor."""

    role: Role
    runs: tuple[int, ...]  # indices into the job's runs
    episodes: int

    @property
    def name(self) -> str:
        """Name in checkpoints, which does not depend on the number of episodes."""
        return f"{self.role}-{self.runs[0]}"


@register(Job, "infer")
class InferJob(Experiment, Job):
    """Online task inference: episodes of an agent on each task and seed, and of an oracle and a floor on the same.

    One run a task and a seed. Runs share batches for speed. All of a run's randomness comes from its own seed, so its
    choices are those it makes alone, to rounding: float32 products depend in the last digit on how many rows they
    have, and a body that falls chaotically makes that visible within some hundred steps. The same ``batch_size`` gives
    the same numbers. The job goes on at the start of the episode in which it was interrupted, or within a long one,
    unless it is traced, at the end of the last 1,000 steps; and with more episodes than it had, after its last.
    What each run came to believe, and from what, is left in ``records/``.

    Arguments and what they raise are those of :class:`~bfmkit.inference.experiment.Experiment`.

    Example:
        ``bfmkit run opti_bfm tasks=all seeds=5``
    """

    extendable: ClassVar[frozenset[str]] = frozenset({"episodes", "oracle_episodes", "floor_episodes"})

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the episodes that are missing; the numbers are those of an uninterrupted run."""
        self.bfm.to(device)
        keep_freed_memory()
        path = out / "checkpoints" / "progress.pt"
        state = InferenceCheckpoint.load(path) if path.is_file() else self._empty_checkpoint()
        state.grow(self._episodes_by_role)
        # What was written after the checkpoint is written again.
        for role, name in FILES.items():
            kept = read_metrics(out, name)[: state.rows[role]]
            if kept or name == METRICS or (out / name).exists():
                rewrite_metrics(out, kept, name)
        with self._log(out) as log, self._bar(state) as bar:
            for stage in self._stages():
                if state.episodes.get(stage.name, 0) < stage.episodes:
                    self._run_stage(stage, state, _Outputs(out, path, log, bar))
        return self._finish(out, state)

    def _stages(self) -> list[Stage]:
        everyone = range(len(self.runs))
        groups = [tuple(everyone[first : first + self.batch_size]) for first in everyone[:: self.batch_size]]
        counts = self._episodes_by_role
        return [Stage(role, group, counts[role]) for group in groups for role in self._roles if counts[role] > 0]

    @property
    def _roles(self) -> tuple[Role, ...]:
        # A trace compares each z of the agent with the oracle's, which must be known by then.
        return ("agent", "oracle", "floor") if self.trace_every is None else ("oracle", "agent", "floor")

    @property
    def _episodes_by_role(self) -> dict[Role, int]:
        return {"agent": self.episodes, "oracle": self.oracle_episodes, "floor": self.floor_episodes}

    def _run_stage(self, stage: Stage, state: InferenceCheckpoint, outputs: _Outputs) -> None:
        agent, name = self.acting(stage.role), stage.name
        runs, first = [self.runs[run] for run in stage.runs], state.episodes.get(name, 0)

        tracer = Tracer(outputs.out, self.trace_every, stage.runs[0], runs, self.environment.spec.episode_steps)

        def watching(episode: int) -> AbstractContextManager[Callable[[Step], None]]:
            bar = outputs.watching(stage, episode)
            if stage.role == "floor":
                return bar
            return tracer.watching(agent, self.bfm, stage.role == "oracle", episode, bar)

        def on_window(_: int, snapshot: EpisodeSnapshot) -> None:
            state.snapshots[name], state.agents[name] = snapshot, agent.state_dict()
            state.save(outputs.checkpoint)

        records = RunRecords(outputs.out, name)
        agent.label_log = records.label_log() if stage.role == "agent" else None
        episodes = run_episodes(
            agent, self.bfm, self.environment, runs, stage.episodes, watching, first=first,
            state=state.agent(name, outputs.checkpoint.parent),
            # The first steps of a trace would be gone.
            snapshot=state.snapshots.get(name), on_window=on_window if self.trace_every is None else None,
        )  # fmt: skip
        for episode, result in enumerate(episodes, start=first):
            self._record(stage, episode, result, agent, state, outputs)
        if stage.role == "agent":
            records.write(agent, runs)
            sums = agent.state.get(RESIDUALS, torch.zeros(0)).tolist()
            state.residuals |= dict(zip(stage.runs, sums, strict=False))
        # Also where all runs were stopped before the last episode.
        state.finish_stage(name, stage.episodes, outputs.checkpoint.parent)
        state.save(outputs.checkpoint)

    def _record(
        self,
        stage: Stage,
        episode: int,
        result: Episode | None,
        agent: Agent,
        state: InferenceCheckpoint,
        outputs: _Outputs,
    ) -> None:
        for row, reason in agent.failures.items():
            run = stage.runs[row]
            task, seed = self.runs[run]
            whose = "" if stage.role == "agent" else f"the {stage.role}'s "
            state.failures.setdefault(run, f"{whose}task {task}, seed {seed}, episode {episode}: {reason}")
        if result is None:
            return
        whole = state.returns[stage.role]
        rows: list[dict[str, Any]] = []
        for row, run in enumerate(stage.runs):
            if not result.stopped[row]:
                whole[run, episode] = float(result.returns[row])
                policy = policy_entry(agent, row)
                rows += (numbers | policy for numbers in self._rows(run, episode, row, result))
        append_metrics(outputs.out, rows, FILES[stage.role])
        state.rows[stage.role] += len(rows)
        outputs.log_returns(stage, episode, [(*self.runs[run], whole[run, episode]) for run in stage.runs])
        state.finish_episode(stage.name, episode, agent.state_dict())
        state.save(outputs.checkpoint)

    def _rows(self, run: int, episode: int, row: int, result: Episode) -> Iterator[dict[str, Any]]:
        task, seed = self.runs[run]
        head = {"task": task, "seed": seed, "episode": episode}
        for stats in window_numbers(result, row) or [stats_numbers(result, row)]:
            yield head | stats

    def _finish(self, out: Path, state: InferenceCheckpoint) -> dict[str, Any]:
        runs = {task: self._finished(task, state) for task in self.tasks}
        tasks = {task: TaskReturns.of(*(state.returns[role][kept] for role in FILES)) for task, kept in runs.items()}
        summary: dict[str, Any] = {
            "tasks": {task: each.summary() | self._calibration(task, state) for task, each in tasks.items()},
            **overall_summary(tasks),
            "episodes": self.episodes,
            "oracle_episodes": self.oracle_episodes,
            "floor_episodes": self.floor_episodes,
            "seeds": list(self.seeds),
            "stage": self.agent.stage(self.episodes),
            "stopped": [state.failures[run] for run in sorted(state.failures)],
        }
        seeds = {task: [self.runs[run][1] for run in kept] for task, kept in runs.items()}
        draw_returns(out / "figures" / "return.png", tasks, seeds)
        if self.trace_every is not None:
            write_plane(out, self.environment, self.bfm, self.tasks)
            from bfmkit.report.plots.trace import draw_trace

            draw_trace(out, self.tasks, self.seeds)
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in _table(summary)))
        if state.failures:
            raise JobError(f"{len(state.failures)} of {len(self.runs)} runs stopped: " + "; ".join(summary["stopped"]))
        return summary

    def _calibration(self, task: str, state: InferenceCheckpoint) -> dict[str, Any]:
        """How often the rewards of a task lay where its runs' beliefs expected them; nothing of other agents."""
        sums = [
            state.residuals[run] for run, each in enumerate(self.runs) if each.task == task and run in state.residuals
        ]
        return {"calibration": Calibration.of(torch.tensor(sums, dtype=torch.float64)).to_dict()} if sums else {}

    def _finished(self, task: str, state: InferenceCheckpoint) -> list[int]:
        """The runs of one task that came through."""
        return [run for run, (name, _) in enumerate(self.runs) if name == task and run not in state.failures]

    def _empty_checkpoint(self) -> InferenceCheckpoint:
        counts = self._episodes_by_role
        return InferenceCheckpoint({role: np.full((len(self.runs), count), np.nan) for role, count in counts.items()})

    def _bar(self, state: InferenceCheckpoint) -> ProgressBar:
        steps = self.environment.spec.episode_steps
        stages = self._stages()
        done = steps * sum(state.episodes.values()) + sum(snapshot["index"] for snapshot in state.snapshots.values())
        return ProgressBar("infer", sum(stage.episodes for stage in stages) * steps, "steps", done)

    def _log(self, out: Path) -> MetricLog:
        return MetricLog(out, self.loggers)


class _Outputs:
    """Where a stage reports to."""

    def __init__(self, out: Path, checkpoint: Path, log: MetricLog, bar: ProgressBar) -> None:
        self.out, self.checkpoint, self.log, self.bar = out, checkpoint, log, bar
        self._last: dict[str, float | str] = {}

    def watching(self, stage: Stage, episode: int) -> _Watch:
        """Count the steps of an episode."""
        if episode == 0:
            self.bar.say(f"{DOING[stage.role]}: {stage.episodes} episode{'' if stage.episodes == 1 else 's'} a run")
            self._last = {}
        return _Watch(self.bar, {"acting": stage.role, "episode": episode + 1} | self._last)

    def log_returns(self, stage: Stage, episode: int, returns: Sequence[tuple[str, int, float]]) -> None:
        """Log an episode's returns, say their means over seeds, and remember the mean of all for the bar."""
        known = [(task, seed, value) for task, seed, value in returns if np.isfinite(value)]
        prefix = "return" if stage.role == "agent" else f"{stage.role}_return"
        for task, seed, value in known:
            self.log.log_metrics({f"{prefix}/{task_title(task)}/seed_{seed}": value}, episode)
        if known:
            self._last = {"last_return": float(np.mean([value for *_, value in known]))}
            self.bar.advance(0, **self._last)
            by_task: dict[str, list[float]] = {}
            for task, _, value in known:
                by_task.setdefault(task, []).append(value)
            parts = (f"{task_title(task)} {np.mean(values):.0f}" for task, values in by_task.items())
            self.bar.say(f"{stage.role}, episode {episode + 1}: {', '.join(parts)}")


class _Watch:
    """Advances a bar by many steps at a time: drawing costs more than a step."""

    def __init__(self, bar: ProgressBar, numbers: dict[str, float | str]) -> None:
        self._bar, self._numbers, self._pending = bar, numbers, 0

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.advance(self._pending, **self._numbers)

    def __call__(self, step: Step) -> None:
        self._pending += 1
        if self._pending == STEPS_SHOWN_TOGETHER:
            self._bar.advance(self._pending, **self._numbers)
            self._pending = 0


def _table(summary: dict[str, Any]) -> Iterator[str]:
    """Returns and relative returns as lines of text, and what the columns are."""
    tasks, half = summary["tasks"], summary["episodes"] // 2
    columns = {
        "first": lambda numbers: (numbers["return_per_episode"] or [None])[0],
        "later": lambda numbers: numbers["later_return"],
        "oracle": lambda numbers: numbers["oracle_later_return"],
        "floor": lambda numbers: numbers["floor_later_return"],
    }
    width = max(len("mean"), *(len(task_title(task)) for task in tasks)) + 2
    yield f"{'task':<{width}}" + "".join(f"{name:>10}" for name in columns) + "  relative return"
    for task, numbers in tasks.items():
        cells = "".join(f"{_number(column(numbers), '.1f'):>10}" for column in columns.values())
        yield f"{task_title(task):<{width}}{cells}  {_score(numbers)}"
    if len(tasks) > 1:
        scored = counted(len(summary["relative_return_tasks"]), len(tasks))
        yield f"{'mean':<{width}}{'':>40}  {_score(summary)}, over {scored}"
    later = f"episodes {half + 1} to {summary['episodes']}" if summary["episodes"] > 2 else "the last episode"
    interval = "; [..]: 95 % bootstrap interval over seeds" if len(summary["seeds"]) > 1 else ""
    yield f"first: return of the first episode; later, oracle, floor: mean return in {later}."
    half = summary["episodes"] - half
    for role in ("oracle", "floor"):
        count = summary[f"{role}_episodes"]
        if 0 < count < summary["episodes"]:
            yield f"{role}: was given {count} of these episodes; its mean is over the last {min(half, count)}."
    yield f"{DEFINITION}{interval}."
    for task, reason in summary["no_relative_return"].items():
        yield f"{task_title(task)} has no relative return: {reason}."
    if summary["stage"]:
        yield f"exploring: {summary['stage']}."
    for task, numbers in tasks.items():
        known = numbers.get("calibration")
        if known is not None and known["rewards"]:
            yield f"{task_title(task)}: {Calibration(**known).words()}"


def _score(numbers: dict[str, Any]) -> str:
    interval = numbers["relative_return_interval"]
    return _number(numbers["relative_return"], ".3f") + (
        "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
