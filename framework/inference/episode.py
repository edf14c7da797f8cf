"""The online loop: an agent in an environment, for one episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bfmkit.interfaces import Agent, Environment, StepResult

WINDOW = 1000
"""Longer episodes are also reported in windows of this many steps."""


@dataclass(frozen=True)
class EpisodeStats:
    """Returns, steps and labels of B runs in a stretch of an episode."""

    returns: Tensor  # (B,) float64, sum of rewards
    steps: Tensor  # (B,) int64, steps taken in the stretch
    labels: Tensor  # (B,) int64, rewards the belief has taken in since the agent's start
    stopped: Tensor  # (B,) bool, runs that went wrong; their numbers are of no use


@dataclass(frozen=True)
class Episode(EpisodeStats):
    """Returns, steps and labels of a whole episode, and of its windows where it is longer than one."""

    windows: tuple[EpisodeStats, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of a batch, for callbacks that record it."""

    index: int
    observation: Tensor  # (B, o)
    z: Tensor  # (B, d)
    action: Tensor  # (B, a)
    outcome: StepResult
    running: Tensor  # (B,) bool, rows whose episode was not over before this step
    frame: Callable[[int], np.ndarray | None] = lambda _: None
    """How the body of a row looks after it, (height, width, 3) uint8; None where the environment does not draw."""


EpisodeSnapshot = dict[str, Any]
"""An episode that was left in the middle, in plain containers."""


def run_episode(
    agent: Agent,
    environment: Environment,
    on_step: Callable[[Step], None] | None = None,
    window: int = WINDOW,
    snapshot: EpisodeSnapshot | None = None,
    on_window: Callable[[EpisodeSnapshot], None] | None = None,
) -> Episode:
    """One episode of a started agent, which learns at every step (Algorithm 1).

    Args:
        agent: started with as many seeds as the environment has rows.
        environment: seeded; it begins the episode that is next.
        on_step: called after each step.
        window: the length of the stretches that a longer episode is reported in.
        snapshot: where an earlier call was left; the agent's state is that of the same moment.
        on_window: called after each stretch but the last, with what a later call needs to go on from there; never by an
            environment that takes no snapshots.

    Raises:
        RunStoppedError: when no run is left.
    """
    episode = (
        _EpisodeState.begin(agent, environment) if snapshot is None else _EpisodeState.resume(environment, snapshot)
    )
    while not episode.over:
        observation, running, runs = episode.observation, episode.running, episode.runs
        action = agent.act(observation, runs)
        outcome = environment.step_batch(action)
        agent.observe(observation, action, outcome.observation, outcome.reward, runs=runs)
        episode.add(outcome)
        if on_step is not None:
            on_step(
                Step(episode.index - 1, observation, agent.state.get("z"), action, outcome, running, environment.frame)
            )
        if episode.over:
            agent.flush()
        if episode.over or episode.index % window == 0:
            episode.close_window(agent)
            if on_window is not None and not episode.over and (left := episode.snapshot()) is not None:
                on_window(left)
    return episode.result(agent, window)


_TENSORS = ("observation", "returns", "steps", "running", "marked_returns", "marked_steps")


@dataclass
class _EpisodeState:
    """Progress of an episode: what each row observes and has got, and the windows that are over."""

    environment: Environment
    index: int  # steps done
    observation: Tensor  # (B, o)
    returns: Tensor  # (B,) float64
    steps: Tensor  # (B,) int64
    running: Tensor  # (B,) bool
    marked_returns: Tensor  # (B,), at the end of the last window
    marked_steps: Tensor  # (B,)
    windows: list[EpisodeStats]
    over: bool = False

    @property
    def runs(self) -> Tensor | None:  # (B,) bool
        """Rows whose episode is not over; None for all."""
        return None if all(self.running.tolist()) else self.running

    @classmethod
    def begin(cls, agent: Agent, environment: Environment) -> _EpisodeState:
        agent.begin_episode()
        observation, _ = environment.reset_batch()
        rows = len(observation)
        returns, steps = torch.zeros(rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.int64)
        running = torch.ones(rows, dtype=torch.bool)
        return cls(environment, 0, observation, returns, steps, running, returns.clone(), steps.clone(), [])

    @classmethod
    def resume(cls, environment: Environment, snapshot: EpisodeSnapshot) -> _EpisodeState:
        environment.restore(snapshot["environment"])
        tensors = {name: snapshot[name].clone() for name in _TENSORS}
        windows = [EpisodeStats(**window) for window in snapshot["windows"]]
        return cls(environment, snapshot["index"], **tensors, windows=windows)

    def add(self, outcome: StepResult) -> None:
        """Count a step of the running rows."""
        reward = outcome.reward.cpu().double()
        self.returns += reward if self.runs is None else torch.where(self.running, reward, 0.0)
        self.steps += self.running
        ended = (outcome.terminated | outcome.truncated).cpu()
        if any(ended.tolist()):
            self.running = self.running & ~ended
        self.observation = outcome.observation
        self.index += 1
        self.over = self.index == self.environment.spec.episode_steps or not any(self.running.tolist())

    def close_window(self, agent: Agent) -> None:
        """Append the stretch since the last window."""
        state, returns, steps = agent.state, self.returns - self.marked_returns, self.steps - self.marked_steps
        self.windows.append(EpisodeStats(returns, steps, state["labels"].clone(), state["stopped"].clone()))
        self.marked_returns, self.marked_steps = self.returns.clone(), self.steps.clone()

    def snapshot(self) -> EpisodeSnapshot | None:
        """Progress with the environment's own snapshot; None if that takes none."""
        state = self.environment.snapshot()
        if state is None:
            return None
        windows = [{field.name: getattr(window, field.name) for field in fields(window)} for window in self.windows]
        tensors = {name: getattr(self, name).clone() for name in _TENSORS}
        return {"index": self.index, **tensors, "windows": windows, "environment": state}

    def result(self, agent: Agent, window: int) -> Episode:
        """The whole episode, with its windows if it is longer than one."""
        labels, stopped = agent.state["labels"].clone(), agent.state["stopped"].clone()
        windows = tuple(self.windows) if self.environment.spec.episode_steps > window else ()
        return Episode(self.returns, self.steps, labels, stopped, windows)
