"""From the name of a recipe to an agent that acts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bfmkit.environments.labels import labelled_transitions
from bfmkit.interfaces import Agent
from bfmkit.jobs.infer import InferJob
from bfmkit.recipe import load_recipe
from bfmkit.runs.label_log import Logbook


def load_agent(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    logbook: bool = True,
) -> Agent:
    """Build the model and the agent of an inference recipe, and start the agent.

    The recipe's environment is built only for an agent that wants labelled transitions; their rewards are those of
    the recipe's task.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: ``"path.to.key=value"``, as on the command line.
        seeds: one a run; the recipe's seed if none are given.
        device: where to compute.
        logbook: whether the agent keeps what its belief takes in, so that :func:`bfmkit.save_record` can tell where
            its weights come from; some 4d + 9 bytes a step and run.

    Raises:
        RecipeError: with all that is wrong with the recipe.
        ValueError: if it is the recipe of another job.
    """
    loaded = load_recipe(recipe, list(overrides))
    if not issubclass(loaded.job_class, InferJob):
        raise ValueError(f"{loaded.source}: an agent comes from a recipe of type infer, not {loaded.tree['type']}")
    parts = loaded.root.arguments
    bfm = parts["bfm"].build().to(device)
    agent: Agent = parts["agent"].build()
    runs = list(seeds) if seeds is not None else [parts.get("seed", 0)]
    labelled = None
    if agent.labelled_transitions > 0:
        environment = parts["environment"].build()
        tasks = [environment.tasks[0]] * len(runs)
        labelled = labelled_transitions(bfm, environment, tasks, agent.labelled_transitions, agent.label_every)
    if logbook:
        origin = {name: loaded.tree[name] for name in ("bfm", "agent", "environment") if name in loaded.tree}
        agent.logbook = Logbook(origin | {"start_labels": "the model's inference set, labelled by the environment"})
    agent.start(bfm, runs, labelled)
    return agent
