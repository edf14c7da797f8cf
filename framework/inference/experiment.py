"""Experiments: an agent and its references on tasks and seeds; runs that share a batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from functools import partial
from typing import Any, Literal, NamedTuple

from bfmkit.environments.labels import labelled_transitions
from bfmkit.inference.episode import Episode, EpisodeSnapshot, EpisodeStats, Step, run_episode
from bfmkit.interfaces import BFM, Agent, Environment, RunStoppedError
from bfmkit.models import zoo
from bfmkit.registry import lookup
from bfmkit.utils.checks import NonNegativeInt, PositiveInt, check_ranges

logger = logging.getLogger(__name__)

Role = Literal["agent", "oracle", "floor"]
"""Who acts: the agent, or one of the two references that it is measured against."""


class Run(NamedTuple):
    """Task and seed of one row of a batch."""

    task: str
    seed: int


@check_ranges
class Experiment:
    """Agent, oracle and floor on the same runs: one run for each task and seed.

    Args:
        bfm: the model whose policies to act with.
        environment: where; its rewards are what the agent is to find out.
        agent: how.
        episodes: of each run, the agent learning on from one to the next.
        seed: of the first run.
        seeds: how many seeds, counted on from ``seed``; or the seeds themselves, and then ``seed`` is not looked at.
        tasks: their names, or ``all``; none given: those of the environment.
        oracle: the upper reference; none given: the agent ``oracle`` as it is by default.
        oracle_episodes: of each run; none given: as many as the agent's. 0 goes without an oracle.
        floor: the lower reference; none given: the agent ``random``.
        floor_episodes: of each run; none given: as many as the agent's, or 0 without an oracle.
        batch_size: how many runs to step together at most.
        trace_every: how many steps between two entries of the trace, which holds what the belief was on the way; none
            given: there is no trace.

    Raises:
        ValueError: if a number is out of range, a seed comes twice, a task does not exist, the model was made for
            another body, or there are no transitions to label for an agent that needs some.
    """

    def __init__(
        self,
        bfm: BFM,
        environment: Environment,
        agent: Agent,
        episodes: PositiveInt = 10,
        seed: int = 0,
        seeds: int | list[int] = 1,
        tasks: str | list[str] | None = None,
        oracle: Agent | None = None,
        oracle_episodes: NonNegativeInt | None = None,
        floor: Agent | None = None,
        floor_episodes: NonNegativeInt | None = None,
        batch_size: PositiveInt = 64,
        trace_every: PositiveInt | None = None,
    ) -> None:
        self.bfm, self.agent, self.episodes = bfm, agent, episodes
        self.batch_size, self.trace_every = batch_size, trace_every
        self.environment = fitted_environment(environment, bfm)
        self.seeds, self.tasks = chosen_seeds(seed, seeds), chosen_tasks(self.environment, tasks)
        self.runs = [Run(task, run_seed) for task in self.tasks for run_seed in self.seeds]
        self.oracle_episodes = episodes if oracle_episodes is None else oracle_episodes
        self.oracle: Agent | None = None
        if self.oracle_episodes > 0:
            self.oracle = oracle if oracle is not None else lookup(Agent, "oracle")()
        if bfm.inference_set() is None:
            self._require_no_labels()
        unset = episodes if self.oracle is not None else 0
        self.floor_episodes = unset if floor_episodes is None else floor_episodes
        self.floor: Agent = floor if floor is not None else lookup(Agent, "random")()

    def acting(self, role: Role) -> Agent:
        """The agent of a role."""
        reference = {"oracle": self.oracle, "floor": self.floor}.get(role)
        return self.agent if reference is None else reference

    def _require_no_labels(self) -> None:
        if self.agent.labelled_transitions > 0:
            raise ValueError("the agent needs labelled transitions, and this model brings no inference set to label")
        if self.oracle is not None and self.oracle.labelled_transitions > 0:
            logger.warning("this model brings no inference set, so there is no oracle to compare with")
            self.oracle, self.oracle_episodes = None, 0


def fitted_environment(environment: Environment, bfm: BFM) -> Environment:
    """The environment with the observation that the model was made for.

    Raises:
        ValueError: if it is another body; the message names shipped models of that body.
    """
    try:
        return environment.fitted_to(bfm.environment_spec, "the model")
    except ValueError as error:
        domain = environment.spec.domain
        models = [] if domain == bfm.environment_spec.domain else zoo.of_domain(domain)
        if not models:
            raise
        listed = ", ".join(f"{zoo.PREFIX}{name}" for name in models)
        raise ValueError(f"{error}; models of {domain}: bfm.path={listed}") from error


def chosen_seeds(seed: int, seeds: int | list[int]) -> tuple[int, ...]:
    """Seeds counted on from ``seed``, or the seeds listed.

    Raises:
        ValueError: if there is none, or one comes twice.
    """
    chosen = list(range(seed, seed + seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen:
        raise ValueError("seeds must be at least one")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"seeds {chosen} has one twice")
    return tuple(chosen)


def chosen_tasks(environment: Environment, tasks: str | list[str] | None) -> tuple[str, ...]:
    """Tasks named, ``all``, or those of the environment's rows, each once.

    Raises:
        ValueError: if there is none, or one does not exist.
    """
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
    """Episodes of an agent on all runs in one batch, each yielded when it is over.

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
    agent.control_timestep = environment.spec.control_timestep
    agent.start(bfm, seeds, labelled)
    if state is not None:
        agent.load_state_dict(state)
    with closing(environment.with_tasks(tasks)) as rows:
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


def policy_entry(agent: Agent, row: int) -> dict[str, str]:
    """``policy`` of the episode that a row is in or has ended, of an agent that has several; else nothing."""
    policies = agent.policies()
    return {} if policies is None else {"policy": policies[row]}


def window_numbers(episode: Episode, row: int) -> list[dict[str, Any]]:
    """``return``, ``steps`` and ``labels`` of each window of a long episode that a row has reached."""
    windows = enumerate(episode.windows)
    return [stats_numbers(stats, row) | {"window": window} for window, stats in windows if stats.steps[row] > 0]
