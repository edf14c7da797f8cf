"""Groups of runs: one recipe, one batch, and how to go on with it."""

from __future__ import annotations

import io
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.evaluation.cells import Cell, reference_label
from bfmkit.inference.episode import Episode, Step
from bfmkit.inference.experiment import Role, Run, policy_entry, run_episodes, stats_numbers, window_numbers
from bfmkit.interfaces import Agent
from bfmkit.training.allocator import keep_freed_memory

# bfmkit may be installed there as well.
_LIBRARY = re.compile(r"[/\\](site|dist)-packages[/\\](?!bfmkit[/\\])")


@dataclass(frozen=True)
class Group:
    """Plain data, so that it can be sent anywhere. The numbers are a function of it alone, wherever it is run."""

    name: str  # of the recipe in the benchmark, or of the reference
    number: int  # of the group, among those of that name
    tree: dict[str, Any]  # the inference recipe, resolved
    runs: tuple[Run, ...]  # the rows of the batch
    episodes: int  # of each run
    role: Role = "agent"  # which of the recipe's agents acts
    oracle: str | None = None  # whose runs these are measured against
    floor: str | None = None  # likewise
    threads: int = 1  # torch uses, for sums depend on how they are split
    device: str = "cpu"  # where to compute

    @property
    def key(self) -> str:
        """A name that no other group of the benchmark has."""
        return f"{self.label}, group {self.number}"

    @property
    def label(self) -> str:
        """What acts: a recipe by its name, or a reference, which may have the name of a recipe."""
        return self.name if self.role == "agent" else reference_label(self.name)

    def extended(self, runs: Sequence[Run], episodes: int) -> Group:
        """With further runs, those that it has not yet, and at least so many episodes."""
        return replace(self, runs=tuple(dict.fromkeys([*self.runs, *runs])), episodes=max(self.episodes, episodes))

    def piece(self, number: int, runs: tuple[Run, ...], threads: int) -> Group:
        """Some of its runs, as a group of their own."""
        return replace(self, number=number, runs=runs, threads=threads)

    def on(self, device: str) -> Group:
        """The same on a device."""
        return replace(self, device=device)


@dataclass(frozen=True)
class GroupTask:
    """A group, and how far it is."""

    group: Group  # what to run
    saved: bytes | None = None  # the last :attr:`GroupEvent.saved`; None: it begins
    finished: frozenset[Run] = frozenset()  # runs that have their cell already


@dataclass(frozen=True)
class GroupEvent:
    """What has happened in a group since the last time."""

    episode: int = 0  # the number of the one that is over
    returns: dict[Run, float] = field(default_factory=dict)  # of it, for each run that came through it
    cells: tuple[Cell, ...] = ()  # that are finished
    saved: bytes | None = None  # to go on from; None: from where one could before


def run_group(work: GroupTask, workbench: Workbench | None = None) -> Iterator[GroupEvent]:
    """Run what is left of a group; never raises but for what stops the whole process.

    A batch that raises an error takes all its rows with it. Then each of them is run again, alone, so that only the
    culprit fails.
    """
    group, workbench = work.group, workbench or Workbench()
    torch.set_num_threads(group.threads)
    keep_freed_memory()
    try:
        yield from _run_batch(work, workbench)
        return
    except Exception as error:  # noqa: BLE001  whatever it is, the other groups go on
        reason, trace = _reason(error), "".join(traceback.format_exception(error))
    if len(group.runs) == 1:
        failed = Cell(
            group.name, *group.runs[0], status="failed", error=reason, oracle=group.oracle, floor=group.floor,
            traceback=trace,
        )  # fmt: skip
        yield GroupEvent(cells=(failed,))
        return
    for run in group.runs:
        if run in work.finished:
            continue
        for news in run_group(GroupTask(replace(group, runs=(run,))), workbench):
            # What a lone run saves is of no use to the batch.
            yield replace(news, saved=None)


def _run_batch(work: GroupTask, workbench: Workbench) -> Iterator[GroupEvent]:
    group = work.group
    experiment = workbench.experiment(
        group.tree,
        tasks=list(dict.fromkeys(run.task for run in group.runs)),
        seeds=list(dict.fromkeys(run.seed for run in group.runs)),
        episodes=group.episodes,
    )
    agent = experiment.acting(group.role)
    experiment.bfm.to(torch.device(group.device))
    memory = _Memory.load(work.saved) if work.saved is not None else _Memory(episodes=[[] for _ in group.runs])
    started = time.monotonic() - memory.seconds
    played = run_episodes(
        agent, experiment.bfm, experiment.environment, group.runs, group.episodes,
        lambda _: nullcontext(_ignore), first=memory.first, state=memory.agent,
    )  # fmt: skip
    for result in played:
        memory.take(agent, result)
        memory.seconds = time.monotonic() - started
        is_over = memory.first == group.episodes or result is None
        # Stopped runs are finished at once, the others together.
        over = [
            row for row in range(len(group.runs))
            if row in memory.stopped_now or (is_over and row not in memory.failures)
        ]  # fmt: skip
        came = {run: row for row, run in enumerate(group.runs) if result is not None and memory.came_through(row)}
        yield GroupEvent(
            episode=memory.first - 1,
            returns={run: memory.episodes[row][-1]["return"] for run, row in came.items()},
            cells=tuple(memory.cell(group, row) for row in over),
            saved=None if is_over else memory.save(),
        )


def _ignore(step: Step) -> None:
    """Nobody looks at single steps: news go by the episode."""


def saved_episodes(saved: bytes) -> int:
    """How many episodes a group had lived that left :attr:`GroupEvent.saved`."""
    return _Memory.load(saved).first


@dataclass
class _Memory:
    """How far a batch is."""

    episodes: list[list[dict[str, Any]]]  # of each row
    first: int = 0  # the next episode
    failures: dict[int, str] = field(default_factory=dict)
    agent: dict[str, Any] | None = None
    seconds: float = 0.0
    stopped_now: list[int] = field(default_factory=list)

    def take(self, agent: Agent, result: Episode | None) -> None:
        """Note an episode."""
        self.stopped_now = [row for row in agent.failures if row not in self.failures]
        for row in self.stopped_now:
            self.failures[row] = f"episode {self.first}: {agent.failures[row]}"
        if result is None:
            return
        for row, episodes in enumerate(self.episodes):
            if not result.stopped[row]:
                windows = window_numbers(result, row)
                numbers = stats_numbers(result, row) | policy_entry(agent, row)
                episodes.append(numbers | ({"windows": windows} if windows else {}))
        self.first, self.agent = self.first + 1, agent.state_dict()

    def came_through(self, row: int) -> bool:
        """Whether a row has lived the last episode."""
        return len(self.episodes[row]) == self.first > 0

    def cell(self, group: Group, row: int) -> Cell:
        """What becomes of a row that is over."""
        error = self.failures.get(row)
        return Cell(
            group.name,
            *group.runs[row],
            status="done" if error is None else "failed",
            error=error,
            episodes=self.episodes[row],
            seconds=self.seconds,
            group=len(group.runs),
            oracle=group.oracle,
            floor=group.floor,
        )

    def save(self) -> bytes:
        """``torch.load`` reads it weights-only."""
        file = io.BytesIO()
        kept = ("episodes", "first", "failures", "agent", "seconds")
        torch.save({name: getattr(self, name) for name in kept}, file)
        return file.getvalue()

    @classmethod
    def load(cls, saved: bytes) -> _Memory:
        """The inverse of :meth:`save`."""
        return cls(**torch.load(io.BytesIO(saved), weights_only=True, map_location="cpu"))


def _reason(error: Exception) -> str:
    """One line: what was raised, and where, which is the last place that is not inside somebody else's library."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if not _LIBRARY.search(frame.filename)] or frames
    where = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
