"""Runs that share a batch: one agent, a row a run, from its first episode to its last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Literal, NamedTuple

from bfmkit.environments.labels import labelled_transitions
from bfmkit.inference.episode import Episode, EpisodeSnapshot, EpisodeStats, Step, run_episode
from bfmkit.interfaces import BFM, Agent, Environment, RunStoppedError

Role = Literal["agent", "oracle", "floor"]
"""Who acts: the agent, or one of the two references that it is measured against."""


class Run(NamedTuple):
    """A row of a batch."""

    task: str
    seed: int


def run_episodes(
    agent: Agent,
    bfm: BFM,
    environment: Environment,
    runs: Sequence[Run],
    episodes: int,
    watching: Callable[[int], AbstractContextManager[Callable[[Step], None]]],
    first: int = 0,
    state: dict[str, Any] | None = None,
    snapshot: EpisodeSnapshot | None = None,
    on_window: Callable[[int, EpisodeSnapshot], None] | None = None,
) -> Iterator[Episode | None]:
    """Let an agent live its episodes on every run at once; gives each when it is over.

    What the agent learnt is in ``agent.state_dict()``, and the rows that were stopped in ``agent.failures``, before the
    next episode is asked for. The numbers are a function of the arguments alone, so runs that were batched alike are
    the same wherever they are run.

    Args:
        agent: started here.
        bfm: whose policies to act with.
        environment: of which each run has a row.
        runs: task and seed of each row.
        episodes: of each run.
        watching: a context for each episode, which is called after each step.
        first: the episode to begin with.
        state: what the agent had learnt before it; None: nothing, it begins.
        snapshot: where the first episode was left, and the agent's state with it; None: it begins.
        on_window: called in the middle of long episodes, with the episode's number and what to go on from.

    Yields:
        The episode; None, and nothing after it, when every run was stopped before its end.
    """
    tasks, seeds = [run.task for run in runs], [run.seed for run in runs]
    labelled = None
    if agent.labelled_transitions > 0:
        count, every = agent.labelled_transitions, agent.label_every
        labelled = labelled_transitions(bfm, environment, tasks, count, every)
    agent.start(bfm, seeds, labelled)
    if state is not None:
        agent.load_state_dict(state)
    rows = environment.with_tasks(tasks)
    rows.seed(seeds, first)
    for episode in range(first, episodes):
        result: Episode | None = None
        left = None if on_window is None else partial(on_window, episode)
        with watching(episode) as on_step, suppress(RunStoppedError):
            result = run_episode(agent, rows, on_step, snapshot=snapshot, on_window=left)
        snapshot = None
        yield result
        if result is None:
            return


def stats_numbers(stats: EpisodeStats, row: int) -> dict[str, Any]:
    """``return``, ``steps`` and ``labels`` of one row."""
    return {
        "return": float(stats.returns[row]),
        "steps": int(stats.steps[row]),
        "labels": int(stats.labels[row]),
    }


def window_numbers(episode: Episode, row: int) -> list[dict[str, Any]]:
    """The same for each ``window`` of a long episode that the row has come to; none of a short one."""
    windows = enumerate(episode.windows)
    return [stats_numbers(stats, row) | {"window": window} for window, stats in windows if stats.steps[row] > 0]
