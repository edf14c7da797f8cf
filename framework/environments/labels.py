"""Labelled transitions for agents that start from some: a model's inference set, relabelled by an environment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.environments.relabelling import recorded_quantities
from bfmkit.interfaces import BFM, Environment
from bfmkit.utils.rng import generator


def labelled_transitions(
    bfm: BFM,
    environment: Environment,
    tasks: Sequence[str],  # one a run, B of them
    count: int,
    every: int | None = None,
) -> TensorDict:  # batch (n,), n at most count
    """Inference set of a model with ``("next", "reward")``, the rewards of each run's task.

    Args:
        bfm: whose inference set. A larger one is thinned out, always to the same transitions; a smaller one is taken
            whole.
        environment: which labels it.
        tasks: of the runs.
        count: how many transitions at most.
        every: as in :func:`label`.

    Raises:
        ValueError: if the model has no inference set.
    """
    transitions = bfm.inference_set()
    if transitions is None:
        raise ValueError("this model brings no inference set, so there are no transitions to label")
    if len(transitions) > count:
        kept = generator(0, "labelled transitions", 0).permutation(len(transitions))[:count]
        transitions = transitions[torch.from_numpy(kept).sort().values]
    return label(transitions, environment, tasks, every)


def label(
    transitions: TensorDictBase,  # batch (n,), with action and ("next", "physics")
    environment: Environment,
    tasks: Sequence[str],  # one a run, B of them
    every: int | None = None,
) -> TensorDict:  # batch (n,)
    """Transitions with ``("next", "reward")`` (n, B), the rewards of each run's task.

    Args:
        transitions: taken at no step in particular: a task that changes with time labels them as it starts.
        environment: which labels them.
        tasks: of the runs.
        every: where given, rewards are (n, B, T): as of the first step of an episode, and of every so many steps after
            it, T times in an episode.
    """
    distinct = list(dict.fromkeys(tasks))
    recorded = transitions.select("action", ("next", "physics")).cpu()
    quantities = recorded_quantities(environment, recorded["next", "physics"], recorded["action"])
    steps = [1] if every is None else range(1, environment.spec.episode_steps + 1, every)
    known = {
        task: torch.stack([environment.rewards(quantities, task, step) for step in steps], dim=-1) for task in distinct
    }
    rewards = torch.stack([known[task] for task in tasks], dim=1)  # (n, B, T)
    labelled = transitions.clone(recurse=False)
    return labelled.set(("next", "reward"), rewards.squeeze(-1) if every is None else rewards)
