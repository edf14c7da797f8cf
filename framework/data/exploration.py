"""Collection of one block of episodes."""

from __future__ import annotations

from typing import Protocol

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Environment, StepResult

RECORDED = (
    "observation",
    "action",
    ("next", "observation"),
    ("next", "physics"),
    ("next", "terminated"),
    ("next", "truncated"),
)
MOST_ABANDONED = 10
"""Blocks lost in a row to simulations that diverge before whoever explores gives up."""


class Actor(Protocol):
    """Policy that acts in a block: an explorer, or policies in training."""

    def act(self, observation: Tensor) -> Tensor: ...  # (B, o) -> (B, a)
    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None: ...


def explore(environment: Environment, actor: Actor, episodes: TensorDictBase) -> bool:  # batch (B, T)
    """Fill ``episodes`` by acting, restarting rows that end early; returns False as soon as a number is not finite.

    One such number would stay in an explorer's running moments for ever, and in the data.
    """
    columns = {key: episodes.get(key) for key in RECORDED}
    observation, _ = environment.reset_batch()
    last = episodes.shape[1] - 1
    for step in range(episodes.shape[1]):
        action = actor.act(observation)
        outcome = environment.step_batch(action)
        if not (outcome.observation.sum() + outcome.physics.sum()).isfinite():
            return False
        if step == last:
            # What a block cuts short is truncated, for the next block begins with a reset.
            outcome = outcome._replace(truncated=~outcome.terminated)
        actor.observe(observation, action, outcome)
        columns["observation"][:, step] = observation
        columns["action"][:, step] = action
        columns["next", "observation"][:, step] = outcome.observation
        columns["next", "physics"][:, step] = outcome.physics
        columns["next", "terminated"][:, step] = outcome.terminated
        columns["next", "truncated"][:, step] = outcome.truncated
        over = outcome.terminated | outcome.truncated
        observation = environment.reset_batch(over)[0] if step < last and over.any() else outcome.observation
    return True
