"""Labelled transitions for agents that start from some: a model's inference set, relabelled by an environment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.interfaces import BFM, Environment
from bfmkit.noise import generator


def labelled_transitions(
    bfm: BFM,
    environment: Environment,
    tasks: Sequence[str],  # one a run, B of them
    count: int,
) -> TensorDict:  # batch (n,), n at most count
    """The model's inference set with ``("next", "reward")`` (n, B), the reward that each run's task gives.

    A larger set is thinned out, always to the same transitions; a smaller one is taken whole.

    Raises:
        ValueError: if the model has no inference set.
    """
    transitions = bfm.inference_set()
    if transitions is None:
        raise ValueError("this model brings no inference set, so there are no transitions to label")
    if len(transitions) > count:
        kept = generator(0, "labelled transitions", 0).permutation(len(transitions))[:count]
        transitions = transitions[torch.from_numpy(kept).sort().values]
    return label(transitions, environment, tasks)


def label(
    transitions: TensorDictBase,  # batch (n,), with action and ("next", "physics")
    environment: Environment,
    tasks: Sequence[str],  # one a run, B of them
) -> TensorDict:  # batch (n,)
    """The transitions with ``("next", "reward")`` (n, B), the reward that each run's task gives for them."""
    distinct = list(dict.fromkeys(tasks))
    recorded = transitions.select("action", ("next", "physics")).cpu()
    rewards = [environment.relabel(recorded["next", "physics"], recorded["action"], task) for task in distinct]
    labelled = transitions.clone(recurse=False)
    return labelled.set(("next", "reward"), torch.stack([rewards[distinct.index(task)] for task in tasks], dim=-1))
