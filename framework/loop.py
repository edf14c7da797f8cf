"""The online loop: an agent in an environment, for one episode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bfmkit.interfaces import Advance, Agent, Environment

WINDOW = 1000
"""Longer episodes are also reported in windows of this many steps."""


@dataclass(frozen=True)
class Tally:
    """What B runs got in a stretch of an episode."""

    returns: Tensor  # (B,) float64, sum of rewards
    steps: Tensor  # (B,) int64, steps taken in the stretch
    labels: Tensor  # (B,) int64, rewards the belief has taken in since the agent's start
    stopped: Tensor  # (B,) bool, runs that went wrong; their numbers are of no use


@dataclass(frozen=True)
class Episode(Tally):
    """A whole episode, and its windows where it is longer than one."""

    windows: tuple[Tally, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step as seen from outside, for whoever keeps records."""

    index: int
    observation: Tensor  # (B, o)
    z: Tensor  # (B, d)
    action: Tensor  # (B, a)
    outcome: Advance
    running: Tensor  # (B,) bool, rows whose episode was not over before this step


def run_episode(
    agent: Agent,
    environment: Environment,
    on_step: Callable[[Step], None] | None = None,
    window: int = WINDOW,
) -> Episode:
    """Let a started agent live one episode, learning on the way.

    Args:
        agent: started with as many seeds as the environment has rows.
        environment: seeded; it begins the episode that is next.
        on_step: called after each step.
        window: the length of the stretches that a longer episode is reported in.

    Raises:
        RunStopped: when no run is left.
    """
    agent.begin_episode()
    observation, _ = environment.begin()
    rows = len(observation)
    returns = torch.zeros(rows, dtype=torch.float64)
    steps = torch.zeros(rows, dtype=torch.int64)
    running = torch.ones(rows, dtype=torch.bool)
    marks = [(returns.clone(), steps.clone())]
    windows: list[Tally] = []
    for index in range(environment.spec.episode_steps):
        runs = None if running.all() else running
        action = agent.act(observation, runs)
        outcome = environment.advance(action)
        agent.observe(observation, action, outcome.observation, outcome.reward, runs=runs)
        returns += torch.where(running, outcome.reward.cpu().double(), 0.0)
        steps += running
        if on_step is not None:
            on_step(Step(index, observation, agent.state.get("z"), action, outcome, running))
        running = running & ~(outcome.terminated | outcome.truncated).cpu()
        observation = outcome.observation
        over = not running.any() or index + 1 == environment.spec.episode_steps
        if (index + 1) % window == 0 or over:
            state = agent.state
            windows.append(
                Tally(returns - marks[-1][0], steps - marks[-1][1], state["labels"].clone(), state["stopped"].clone())
            )
            marks.append((returns.clone(), steps.clone()))
        if over:
            break
    state = agent.state
    return Episode(
        returns,
        steps,
        state["labels"].clone(),
        state["stopped"].clone(),
        tuple(windows) if environment.spec.episode_steps > window else (),
    )
