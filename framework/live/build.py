"""Sessions from recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bfmkit.inference.experiment import Experiment, fitted_environment
from bfmkit.interfaces import Agent, Environment
from bfmkit.live.player import Player
from bfmkit.live.session import OWN, LiveSession, oracle_player
from bfmkit.recipe import Recipe, load_recipe


def build_session(recipe: str | Path, overrides: Sequence[str], out: Path, beside: Sequence[str] = ()) -> LiveSession:
    """The session of an inference recipe, with the agents of other recipes beside its own.

    The oracle is there if the model brings transitions to label. Recipes that are about a person start with the
    person's own rewards: their agents have a teacher.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: ``"path.to.key=value"``, as on the command line.
        out: where records go.
        beside: further recipes, whose agents are watched on the first one's body, with its model and task.

    Raises:
        RecipeError: with all that is wrong with a recipe.
        ValueError: if one is the recipe of another job.
    """
    first = _infer_recipe(recipe, overrides)
    parts = first.root.arguments
    bfm = parts["bfm"].build()
    environment: Environment = fitted_environment(parts["environment"].build(), bfm)
    seed, task = parts.get("seed", 0), environment.tasks[0]
    players = []
    for index, loaded in enumerate((first, *(_infer_recipe(each, ()) for each in beside))):
        agent: Agent = loaded.root.arguments["agent"].build()
        tree: dict[str, Any] = {**first.tree, "agent": loaded.tree["agent"]}
        origin: dict[str, Any] = {name: tree[name] for name in ("bfm", "agent", "environment") if name in tree}
        origin |= {"labels": "the task on the page, or a person", "start_labels": "the model's inference set"}
        pages = out / "checkpoints" / f"labels-{index}"
        players.append(Player(loaded.name, agent, bfm, environment.with_tasks([task]), seed, origin, pages))
    with torch.no_grad():
        session = LiveSession(players, out, oracle_player(environment.with_tasks([task]), players[0]))
    if getattr(players[0].agent, "teacher", None) is not None:
        session.set_task(OWN, keep_belief=True)
    return session


def _infer_recipe(recipe: str | Path, overrides: Sequence[str]) -> Recipe:
    loaded = load_recipe(recipe, list(overrides))
    if not issubclass(loaded.job_class, Experiment):
        raise ValueError(f"{loaded.source}: a page shows a recipe of type infer, not {loaded.tree['type']}")
    return loaded
