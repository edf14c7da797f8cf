"""One block of episodes of an explorer."""

from __future__ import annotations

from collections.abc import Callable

from tensordict import TensorDictBase

from bfmkit.interfaces import Environment, Explorer

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


def explore(
    environment: Environment,
    explorer: Explorer,
    episodes: TensorDictBase,  # batch (B, T)
    before_step: Callable[[], None] | None = None,
) -> bool:
    """Fill ``episodes`` with one episode a row; false as soon as a simulation gives what is not finite.

    One such number would stay in the explorer's running moments for ever, and in the data.
    """
    columns = {key: episodes.get(key) for key in RECORDED}
    observation, _ = environment.begin()
    for step in range(episodes.shape[1]):
        if before_step is not None:
            before_step()
        action = explorer.act(observation)
        outcome = environment.advance(action)
        if not (outcome.observation.sum() + outcome.physics.sum()).isfinite():
            return False
        explorer.observe(observation, action, outcome)
        columns["observation"][:, step] = observation
        columns["action"][:, step] = action
        columns["next", "observation"][:, step] = outcome.observation
        columns["next", "physics"][:, step] = outcome.physics
        columns["next", "terminated"][:, step] = outcome.terminated
        columns["next", "truncated"][:, step] = outcome.truncated
        observation = outcome.observation
    return True
