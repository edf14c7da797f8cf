"""bfmkit: online task inference for behaviour foundation models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from bfmkit.interfaces import Agent

__all__ = ["load"]


def load(
    recipe: str | Path,
    *overrides: str,
    seeds: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Agent:
    """An agent of an inference recipe, ready to act.

    ``agent = bfmkit.load("opti_bfm"); a = agent.act(s); agent.observe(s, a, next_s, reward)``

    Call ``agent.begin_episode()`` where an episode begins anew.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: ``"path.to.key=value"``, as on the command line.
        seeds: one a run; the recipe's seed if none are given.
        device: where to compute.

    Raises:
        RecipeError: with all that is wrong with the recipe.
        ValueError: if it is the recipe of another job.
    """
    # Imported here: `import bfmkit` must stay light, for the command line is built on it.
    from bfmkit.loading import load_agent

    return load_agent(recipe, overrides, seeds, device)
