"""Returns of a model's policies for known tasks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.environments.labels import label
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import BFM, Agent, Environment
from bfmkit.registry import lookup


def oracle_returns(
    bfm: BFM,
    environment: Environment,
    transitions: TensorDictBase,  # batch (n,), for the oracle to label
    tasks: Sequence[str],
    seeds: Sequence[int],
    agent: Agent | None = None,
) -> dict[str, Tensor]:  # task -> (len(seeds),)
    """Returns of the oracle, or of another agent: one episode for every task and seed, all of them at once."""
    rows = [task for task in tasks for _ in seeds]
    agent = lookup(Agent, "oracle")() if agent is None else agent
    labelled = label(transitions, environment, rows) if agent.labelled_transitions > 0 else None
    agent.start(bfm, list(seeds) * len(tasks), labelled)
    with closing(environment.with_tasks(rows)) as bodies:
        bodies.seed(list(seeds) * len(tasks))
        returns = run_episode(agent, bodies).returns
    return dict(zip(tasks, returns.split(len(seeds)), strict=True))
