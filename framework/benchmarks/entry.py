"""What a benchmark compares: inference recipes, each under a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bfmkit.interfaces import Job
from bfmkit.jobs.infer import InferJob
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.recipe.node import Node
from bfmkit.recipe.problems import Problem


@dataclass(frozen=True)
class Entry:
    """One recipe of a benchmark.

    Args:
        recipe: a shipped recipe's name, or a file, seen from the working directory.
        name: what to call it; the file's name if not given. Two of one name are refused.
        overrides: ``path.to.key=value`` each, said after those that all recipes share.
    """

    recipe: str
    name: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contestant:
    """An entry's recipe, read and checked."""

    name: str
    tree: dict[str, Any]  # resolved
    root: Node

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the inference job, checked; components are nodes."""
        return self.root.arguments


def contestants(entries: Sequence[str | Entry], overrides: Sequence[str]) -> list[Contestant]:
    """Read the recipe of each entry.

    Raises:
        RecipeError: with what is wrong with any of the recipes.
        ValueError: if there is none, two have one name, one is no inference recipe, or an override says the task.
    """
    if not entries:
        raise ValueError("recipes must name at least one")
    found: dict[str, Contestant] = {}
    problems: list[Problem] = []
    for given in entries:
        entry = Entry(given) if isinstance(given, str) else given
        name = entry.name or Path(entry.recipe).stem
        if name in found:
            raise ValueError(f'two recipes are called "{name}"; give one of them another `name`')
        said = [*overrides, *entry.overrides]
        for override in said:
            if override.split("=")[0] in ("environment.task", "environment.reward"):
                # The cell's own would take its place without a word.
                raise ValueError(
                    f'{name}: "{override}" has no effect: `tasks` says what is played, names or typed rewards'
                )
        try:
            recipe = load_recipe(entry.recipe, said)
        except RecipeError as error:
            problems += [of_entry(name, problem) for problem in error.problems]
            continue
        job: type[Job] = recipe.job_class
        if not issubclass(job, InferJob):
            raise ValueError(f"{recipe.source}: a benchmark compares recipes of type infer, not {recipe.tree['type']}")
        found[name] = Contestant(name, recipe.tree, recipe.root)
    if problems:
        raise RecipeError(problems)
    return list(found.values())


def of_entry(name: str, problem: Problem) -> Problem:
    """The problem as one of the entry with this name: several may say the same file."""
    return replace(problem, file=": ".join(part for part in (name, problem.file) if part))
