"""bfmkit: online task inference for behaviour foundation models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bfmkit.environments.gymnasium_registration import register_with_gymnasium

if TYPE_CHECKING:
    import torch

    from bfmkit.interfaces import Agent
    from bfmkit.runs.record import Record

__all__ = ["load", "save_record"]


def load(
    recipe: str | Path,
    *overrides: str,
    seeds: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    logbook: bool = True,
) -> Agent:
    """An agent of an inference recipe, ready to act.

    ``agent = bfmkit.load("opti_bfm_two_stage"); a = agent.act(s); agent.observe(s, a, next_s, reward)``

    Call ``agent.begin_episode()`` where an episode begins anew.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: ``"path.to.key=value"``, as on the command line.
        seeds: one a run; the recipe's seed if none are given.
        device: where to compute.
        logbook: whether the agent keeps what its belief takes in, for :func:`save_record`; some 4d + 9 bytes a step and
            run, so not for a robot that acts for weeks.

    Raises:
        RecipeError: with all that is wrong with the recipe.
        ValueError: if it is the recipe of another job.
    """
    # Imported here: `import bfmkit` must stay light, for the command line is built on it.
    from bfmkit.utils.startup import postpone_compiler

    postpone_compiler()
    from bfmkit.api import load_agent

    return load_agent(recipe, overrides, seeds, device, logbook)


def save_record(agent: Agent, path: str | Path, run: int = 0, task: str | None = None) -> Record:
    """Write down what an agent from :func:`load` believes, and all that it follows from.

    ``bfmkit.save_record(agent, "stand.safetensors")``; then ``bfmkit replay stand.safetensors`` works it out again, and
    ``bfmkit explain stand.safetensors`` says it in words.

    Args:
        agent: that has acted and observed.
        path: of the file to write.
        run: which of its runs.
        task: what was asked for, if anybody knows; for people.

    Raises:
        ValueError: if the agent has kept no logbook, or keeps no belief.
    """
    from bfmkit.runs.recording import save_record as save

    return save(agent, path, run, task)


register_with_gymnasium()
