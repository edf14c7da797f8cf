"""Job ``infer``: let an agent find out, by acting, what task it has been given."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bfmkit.evaluation.relative_return import overall_summary, task_summary
from bfmkit.inference.calibration import RESIDUALS, Calibration
from bfmkit.inference.episode import Episode, Midway, Step
from bfmkit.inference.experiment import Run, play, tally_numbers, window_numbers
from bfmkit.interfaces import BFM, Agent, Environment, Job, JobFailed
from bfmkit.registry import lookup, register
from bfmkit.report.plots import draw_returns
from bfmkit.runs.checkpoint import Ledger
from bfmkit.runs.run_directory import (
    METRICS,
    ORACLE_METRICS,
    append_metrics,
    read_metrics,
    write_atomically,
    write_summary,
)
from bfmkit.runs.run_records import RunRecords
from bfmkit.runs.trace_writer import Tracer
from bfmkit.runs.traced_plane import write_plane
from bfmkit.utils.progress_bar import Progress

logger = logging.getLogger(__name__)

STEPS_SHOWN_TOGETHER = 50


@dataclass(frozen=True)
class Stage:
    """Runs that share a batch: either of the agent, or of the oracle that it is measured against."""

    is_oracle: bool
    runs: tuple[int, ...]  # indices into the job's runs
    episodes: int


@register(Job, "infer")
class InferJob(Job):
    """Runs an agent for some episodes of each task and seed, and an oracle beside it as a yardstick.

    One run a task and a seed. Runs share batches for speed. All of a run's randomness comes from its own seed, so its
    choices are those it makes alone, to rounding: float32 products depend in the last digit on how many rows they
    have, and a body that falls chaotically makes that visible within some hundred steps. The same ``batch_size`` gives
    the same numbers. The job goes on at the start of the episode in which it was interrupted, or within a long one,
    unless it is traced, at the end of the last 1,000 steps. What each run came to believe, and from what, is left in
    ``records/``.

    Args:
        bfm: the model whose policies to act with.
        environment: where; its rewards are what the agent is to find out.
        agent: how.
        episodes: of each run, the agent learning on from one to the next.
        seed: of the first run.
        seeds: how many seeds, counted on from ``seed``; or the seeds themselves, and then ``seed`` is not looked at.
        tasks: their names, or ``all``; none given: those of the environment.
        oracle: the yardstick; none given: the agent ``oracle`` as it is by default.
        oracle_episodes: of each run; none given: as many as the agent's. 0 goes without the yardstick.
        batch_size: how many runs to step together at most.
        trace_every: how many steps between two entries of the trace, which holds what the belief was on the way; none
            given: there is no trace.

    Raises:
        ValueError: if a number is not positive, a seed comes twice, a task does not exist, the model was made for
            another body, or there are no transitions to label for an agent that needs some.
    """

    def __init__(
        self,
        bfm: BFM,
        environment: Environment,
        agent: Agent,
        episodes: int = 10,
        seed: int = 0,
        seeds: int | list[int] = 1,
        tasks: str | list[str] | None = None,
        oracle: Agent | None = None,
        oracle_episodes: int | None = None,
        batch_size: int = 64,
        trace_every: int | None = None,
    ) -> None:
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {episodes}")
        if oracle_episodes is not None and oracle_episodes < 0:
            raise ValueError(f"oracle_episodes must not be negative, got {oracle_episodes}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if trace_every is not None and trace_every < 1:
            raise ValueError(f"trace_every must be at least 1, got {trace_every}")
        environment = environment.fitted_to(bfm.environment_spec, "the model")
        self.bfm, self.environment, self.agent = bfm, environment, agent
        self.episodes, self.batch_size, self.trace_every = episodes, batch_size, trace_every
        self.seeds = chosen_seeds(seed, seeds)
        self.tasks = _tasks(environment, tasks)
        self.runs = [Run(task, run_seed) for task in self.tasks for run_seed in self.seeds]
        self.oracle_episodes = episodes if oracle_episodes is None else oracle_episodes
        self.oracle: Agent | None = None
        if self.oracle_episodes > 0:
            self.oracle = oracle if oracle is not None else lookup(Agent, "oracle")()
        if bfm.inference_set() is None:
            if agent.labelled_transitions > 0:
                raise ValueError(
                    "the agent needs labelled transitions, and this model brings no inference set to label"
                )
            if self.oracle is not None and self.oracle.labelled_transitions > 0:
                logger.warning("this model brings no inference set, so there is no oracle to compare with")
                self.oracle, self.oracle_episodes = None, 0

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run what is left to run; the numbers are those of a run that was never interrupted."""
        self.bfm.to(device)
        checkpoint = out / "checkpoints" / "progress.pt"
        ledger = Ledger.load(checkpoint) if checkpoint.is_file() else self._empty_ledger()
        # What was written after the checkpoint is written again.
        for name, count in ((METRICS, ledger.rows), (ORACLE_METRICS, ledger.oracle_rows)):
            kept = read_metrics(out, name)[:count]
            if kept or name == METRICS or (out / name).exists():
                write_atomically(out / name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
        with self._log(out) as log, self._bar(ledger) as bar:
            for index, stage in enumerate(self._stages()):
                if index >= ledger.stage:
                    self._run_stage(stage, ledger, _Outputs(out, checkpoint, log, bar))
        return self._finish(out, ledger)

    def _stages(self) -> list[Stage]:
        everyone = range(len(self.runs))
        groups = [tuple(everyone[first : first + self.batch_size]) for first in everyone[:: self.batch_size]]
        stages = []
        for group in groups:
            if self.oracle is not None:
                stages.append(Stage(True, group, self.oracle_episodes))
            stages.append(Stage(False, group, self.episodes))
        return stages

    def _run_stage(self, stage: Stage, ledger: Ledger, outputs: _Outputs) -> None:
        agent = self.oracle if stage.is_oracle and self.oracle is not None else self.agent
        runs, first = [self.runs[run] for run in stage.runs], ledger.episode

        tracer = Tracer(outputs.out, self.trace_every, stage.runs[0], runs, self.environment.spec.episode_steps)

        def watching(episode: int) -> AbstractContextManager[Callable[[Step], None]]:
            bar = outputs.watching(stage, episode)
            return tracer.watching(agent, self.bfm, stage.is_oracle, episode, bar)

        def on_window(episode: int, midway: Midway) -> None:
            ledger.episode, ledger.midway, ledger.agent = episode, midway, agent.state_dict()
            ledger.save(outputs.checkpoint)

        records = RunRecords(outputs.out)
        agent.logbook = None if stage.is_oracle else records.logbook()
        episodes = play(
            agent, self.bfm, self.environment, runs, stage.episodes, watching, first=first, state=ledger.agent,
            # The first steps of a trace would be gone.
            midway=ledger.midway, on_window=on_window if self.trace_every is None else None,
        )  # fmt: skip
        for episode, result in enumerate(episodes, start=first):
            self._record(stage, episode, result, agent, ledger, outputs)
        if not stage.is_oracle:
            records.write(agent, runs)
            sums = agent.state.get(RESIDUALS, torch.zeros(0)).tolist()
            ledger.residuals |= dict(zip(stage.runs, sums, strict=False))
        ledger.stage, ledger.episode, ledger.agent, ledger.midway = ledger.stage + 1, 0, None, None
        ledger.save(outputs.checkpoint)
        records.tidy()

    def _record(
        self, stage: Stage, episode: int, result: Episode | None, agent: Agent, ledger: Ledger, outputs: _Outputs
    ) -> None:
        for row, reason in agent.failures.items():
            run = stage.runs[row]
            task, seed = self.runs[run]
            whose = "the oracle's " if stage.is_oracle else ""
            ledger.failures.setdefault(run, f"{whose}task {task}, seed {seed}, episode {episode}: {reason}")
        if result is None:
            return
        whole = ledger.oracle_returns if stage.is_oracle else ledger.returns
        rows: list[dict[str, Any]] = []
        for row, run in enumerate(stage.runs):
            if not result.stopped[row]:
                whole[run, episode] = float(result.returns[row])
                rows += self._rows(run, episode, row, result)
        if stage.is_oracle:
            append_metrics(outputs.out, rows, ORACLE_METRICS)
            ledger.oracle_rows += len(rows)
        else:
            append_metrics(outputs.out, rows)
            ledger.rows += len(rows)
            returns = [(*self.runs[run], whole[run, episode]) for run in stage.runs]
            outputs.log_returns(episode, returns, self._oracle_means(stage, ledger))
        ledger.episode, ledger.agent, ledger.midway = episode + 1, agent.state_dict(), None
        ledger.save(outputs.checkpoint)

    def _oracle_means(self, stage: Stage, ledger: Ledger) -> dict[str, float]:
        """The oracle's mean return for each task of the stage, as far as it is known."""
        means = {}
        for task in {self.runs[run][0] for run in stage.runs}:
            known = [ledger.oracle_returns[run] for run in stage.runs if self.runs[run][0] == task]
            values = np.concatenate(known)
            means[task] = float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")
        return means

    def _rows(self, run: int, episode: int, row: int, result: Episode) -> Iterator[dict[str, Any]]:
        task, seed = self.runs[run]
        head = {"task": task, "seed": seed, "episode": episode}
        for tally in window_numbers(result, row) or [tally_numbers(result, row)]:
            yield head | tally

    def _finish(self, out: Path, ledger: Ledger) -> dict[str, Any]:
        runs = {task: self._finished(task, ledger) for task in self.tasks}
        tasks = {
            task: (ledger.returns[kept], ledger.oracle_returns[kept] if self.oracle is not None else None)
            for task, kept in runs.items()
        }
        summary: dict[str, Any] = {
            "tasks": {task: task_summary(*pair) | self._calibration(task, ledger) for task, pair in tasks.items()},
            **overall_summary(tasks),
            "episodes": self.episodes,
            "seeds": list(self.seeds),
            "stopped": [ledger.failures[run] for run in sorted(ledger.failures)],
        }
        seeds = {task: [self.runs[run][1] for run in kept] for task, kept in runs.items()}
        draw_returns(out / "figures" / "return.png", tasks, seeds)
        if self.trace_every is not None:
            write_plane(out, self.environment, self.bfm, self.tasks)
            from bfmkit.report.plots.trace import draw_trace

            draw_trace(out, self.tasks, self.seeds)
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in _table(summary["tasks"])))
        if ledger.failures:
            raise JobFailed(
                f"{len(ledger.failures)} of {len(self.runs)} runs stopped: " + "; ".join(summary["stopped"])
            )
        return summary

    def _calibration(self, task: str, ledger: Ledger) -> dict[str, Any]:
        """How often the rewards of a task lay where its runs' beliefs expected them; nothing of other agents."""
        sums = [
            ledger.residuals[run] for run, each in enumerate(self.runs) if each.task == task and run in ledger.residuals
        ]
        return {"calibration": Calibration.of(torch.tensor(sums, dtype=torch.float64)).to_dict()} if sums else {}

    def _finished(self, task: str, ledger: Ledger) -> list[int]:
        """The runs of one task that came through."""
        return [run for run, (name, _) in enumerate(self.runs) if name == task and run not in ledger.failures]

    def _empty_ledger(self) -> Ledger:
        runs = len(self.runs)
        return Ledger(np.full((runs, self.episodes), np.nan), np.full((runs, self.oracle_episodes), np.nan))

    def _bar(self, ledger: Ledger) -> Progress:
        steps = self.environment.spec.episode_steps
        stages = self._stages()
        done = (sum(stage.episodes for stage in stages[: ledger.stage]) + ledger.episode) * steps
        done += 0 if ledger.midway is None else ledger.midway["index"]
        return Progress("infer", sum(stage.episodes for stage in stages) * steps, "steps", done)

    def _log(self, out: Path) -> Any:
        # Imported here: it takes a second, and nothing but a running job needs it.
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(out / "tensorboard"))


class _Outputs:
    """Where a stage reports to."""

    def __init__(self, out: Path, checkpoint: Path, log: Any, bar: Progress) -> None:
        self.out, self.checkpoint, self.log, self.bar = out, checkpoint, log, bar
        self._last: dict[str, float | str] = {}

    def watching(self, stage: Stage, episode: int) -> _Watch:
        """Count the steps of an episode."""
        numbers: dict[str, float | str] = {"who": "oracle" if stage.is_oracle else "agent", "episode": episode + 1}
        return _Watch(self.bar, numbers | self._last)

    def log_returns(self, episode: int, returns: Sequence[tuple[str, int, float]], oracle: dict[str, float]) -> None:
        """Log an episode's returns, say their means, and remember the mean of all for the bar."""
        for task, seed, value in returns:
            if np.isfinite(value):
                self.log.add_scalar(f"return/{task}/seed_{seed}", value, episode)
        finite = [value for _, _, value in returns if np.isfinite(value)]
        if finite:
            self._last = {"last_return": float(np.mean(finite))}
            self.bar.advance(0, **self._last)
            self.bar.say(self._line(episode, returns, oracle))

    def _line(self, episode: int, returns: Sequence[tuple[str, int, float]], oracle: dict[str, float]) -> str:
        """``episode 3: stand 512 (oracle 604), walk 231 (oracle 250)``, means over seeds."""
        parts = []
        for task in dict.fromkeys(task for task, _, _ in returns):
            values = [value for name, _, value in returns if name == task and np.isfinite(value)]
            if values:
                yardstick = f" (oracle {oracle[task]:.0f})" if np.isfinite(oracle.get(task, np.nan)) else ""
                parts.append(f"{task} {np.mean(values):.0f}{yardstick}")
        return f"episode {episode + 1}: {', '.join(parts)}"


class _Watch:
    """Advances a bar by many steps at a time: drawing costs more than a step."""

    def __init__(self, bar: Progress, numbers: dict[str, float | str]) -> None:
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


def chosen_seeds(seed: int, seeds: int | list[int]) -> tuple[int, ...]:
    """So many seeds from ``seed`` on, or those given.

    Raises:
        ValueError: if there is none, or one comes twice.
    """
    chosen = list(range(seed, seed + seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise ValueError("seeds must be at least one")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"seeds {chosen} has one twice")
    return tuple(chosen)


def _tasks(environment: Environment, tasks: str | list[str] | None) -> tuple[str, ...]:
    if tasks is None:
        chosen: list[str] = list(environment.tasks)
    elif tasks == "all":
        chosen = list(environment.spec.tasks)
    else:
        chosen = [tasks] if isinstance(tasks, str) else list(tasks)
    if not chosen:
        raise ValueError("tasks must name at least one task")
    for task in chosen:
        environment.spec.require_task(task)
    return tuple(dict.fromkeys(chosen))


def _table(tasks: dict[str, Any]) -> Iterator[str]:
    yield f"{'task':<24}{'oracle':>10}{'first':>10}{'last':>10}{'relative':>10}"
    for task, numbers in tasks.items():
        returns = numbers["return_per_episode"]
        cells = (numbers["oracle_return"], *((returns[0], returns[-1]) if returns else (None, None)))
        row = "".join(f"{'-' if cell is None else format(cell, '.1f'):>10}" for cell in cells)
        relative = numbers["relative_return"]
        yield f"{task:<24}{row}{'-' if relative is None else format(relative, '.3f'):>10}"
    for task, numbers in tasks.items():
        known = numbers.get("calibration")
        if known is not None and known["rewards"]:
            yield f"{task}: {Calibration(**known).words()}"
