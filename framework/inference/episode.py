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
        _EpisodeState.begun(agent, environment) if snapshot is None else _EpisodeState.gone_on(environment, snapshot)
    )
    total = environment.spec.episode_steps
    for index in range(episode.index, total):
        running, observation = episode.running, episode.observation
        runs = None if running.all() else running
        action = agent.act(observation, runs)
        outcome = environment.step_batch(action)
        agent.observe(observation, action, outcome.observation, outcome.reward, runs=runs)
        episode.returns += torch.where(running, outcome.reward.cpu().double(), 0.0)
        episode.steps += running
        if on_step is not None:
            on_step(Step(index, observation, agent.state.get("z"), action, outcome, running, environment.frame))
        episode.running = running & ~(outcome.terminated | outcome.truncated).cpu()
        episode.observation = outcome.observation
        episode.index = index + 1
        over = index + 1 == total or not episode.running.any()
        if over:
            agent.flush()
        if (index + 1) % window == 0 or over:
            episode.close_window(agent)
        if over:
            break
        if (index + 1) % window == 0 and on_window is not None:
            left = episode.left(environment)
            if left is not None:
                on_window(left)
    state = agent.state
    return Episode(
        episode.returns,
        episode.steps,
        state["labels"].clone(),
        state["stopped"].clone(),
        tuple(episode.windows) if total > window else (),
    )


_MOVING = ("observation", "returns", "steps", "running", "marked_returns", "marked_steps")


@dataclass
class _EpisodeState:
    """How far an episode is."""

    index: int  # steps done
    observation: Tensor  # (B, o)
    returns: Tensor  # (B,) float64
    steps: Tensor  # (B,) int64
    running: Tensor  # (B,) bool
    marked_returns: Tensor  # (B,), at the end of the last window
    marked_steps: Tensor  # (B,)
    windows: list[EpisodeStats]

    @classmethod
    def begun(cls, agent: Agent, environment: Environment) -> _EpisodeState:
        agent.begin_episode()
        observation, _ = environment.reset_batch()
        rows = len(observation)
        nothing, none = torch.zeros(rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.int64)
        running = torch.ones(rows, dtype=torch.bool)
        return cls(0, observation, nothing, none, running, nothing.clone(), none.clone(), [])

    @classmethod
    def gone_on(cls, environment: Environment, snapshot: EpisodeSnapshot) -> _EpisodeState:
        environment.restore(snapshot["environment"])
        values = {name: snapshot[name].clone() for name in _MOVING}
        return cls(snapshot["index"], **values, windows=[EpisodeStats(**window) for window in snapshot["windows"]])

    def close_window(self, agent: Agent) -> None:
        """Add up what came since the last one."""
        state, returns, steps = agent.state, self.returns - self.marked_returns, self.steps - self.marked_steps
        self.windows.append(EpisodeStats(returns, steps, state["labels"].clone(), state["stopped"].clone()))
        self.marked_returns, self.marked_steps = self.returns.clone(), self.steps.clone()

    def left(self, environment: Environment) -> EpisodeSnapshot | None:
        """All of it, and the environment's; None if that takes no snapshots."""
        state = environment.snapshot()
        if state is None:
            return None
        windows = [{field.name: getattr(each, field.name) for field in fields(each)} for each in self.windows]
        tensors = {name: getattr(self, name).clone() for name in _MOVING}
        return {"index": self.index, **tensors, "windows": windows, "environment": state}
