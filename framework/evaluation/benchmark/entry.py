"""Recipes of a benchmark, each under a name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bfmkit.inference.experiment import Experiment
from bfmkit.interfaces import Job
from bfmkit.recipe import Recipe, RecipeError, load_recipe
from bfmkit.recipe.inheriting import gather
from bfmkit.recipe.node import Node
from bfmkit.recipe.problems import Problem, refuse
from bfmkit.recipe.sources import label, locate, shipped
from bfmkit.registry import lookup
from bfmkit.registry.messages import one_of, suggestion

INFERENCE = "infer"

_PLAYED = "`tasks` says what is played, names or typed rewards"
_NO_EFFECT = {
    "environment.task": _PLAYED,
    "environment.reward": _PLAYED,
    "seed": "the benchmark's `seed` and `seeds` hold for all recipes",
    "seeds": "the benchmark's `seed` and `seeds` hold for all recipes",
    "batch_size": "the benchmark's `batch_size` holds for all recipes",
    "trace_every": "a benchmark keeps no traces",
}
"""Of the overrides that no cell would ever hear of: why."""


@dataclass(frozen=True)
class RecipeEntry:
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
class BenchmarkRecipe:
    """An entry's recipe, read and checked."""

    name: str
    tree: dict[str, Any]  # resolved
    root: Node

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the inference job, checked; components are nodes."""
        return self.root.arguments


def benchmark_recipes(
    entries: Sequence[str | RecipeEntry], overrides: Sequence[str], said: Collection[str] = ()
) -> list[BenchmarkRecipe]:
    """Read the recipe of each entry.

    Args:
        entries: of the benchmark.
        overrides: for all of them.
        said: what the benchmark says in the place of its recipes, such as ``episodes``.

    Raises:
        RecipeError: with what is wrong with any of the recipes: one is not of inference, or an override has no effect.
        ValueError: if there is none, or two have one name.
    """
    if not entries:
        raise ValueError("recipes must name at least one")
    found: dict[str, BenchmarkRecipe] = {}
    keys = {_key(override) for override in overrides}
    problems = _without_effect(overrides, "overrides", said, keys)
    for given in entries:
        entry = RecipeEntry(given) if isinstance(given, str) else given
        name = entry.name or Path(entry.recipe).stem
        if name in found:
            raise ValueError(f'two recipes are called "{name}"; give one of them another `name`')
        problems += _without_effect(
            entry.overrides, name, said, keys | {_key(override) for override in entry.overrides}
        )
        try:
            recipe = _inference_recipe(entry.recipe, [*overrides, *entry.overrides])
        except RecipeError as error:
            problems += [of_entry(name, problem) for problem in error.problems]
            continue
        found[name] = BenchmarkRecipe(name, recipe.tree, recipe.root)
    if problems:
        raise RecipeError(problems)
    return list(found.values())


def _without_effect(
    overrides: Sequence[str], where: str, said: Collection[str], changed: Collection[str]
) -> list[Problem]:
    """A problem for each override in whose place the benchmark's own word would be taken, without telling anybody."""
    reasons = {key: f"the benchmark's `{key}` holds for all recipes" for key in said} | _NO_EFFECT
    if "environment.domain" in changed:  # another body needs a task that it has, whatever is played
        reasons.pop("environment.task")
    known = [(override, reasons.get(_key(override))) for override in overrides]
    return [Problem(where, "", f'"{override}" has no effect: {why}') for override, why in known if why is not None]


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _inference_recipe(reference: str, overrides: Sequence[str]) -> Recipe:
    path = _locate(reference)
    # Before the overrides, for in a recipe of another job each of them would be called a mistake.
    _require_inference(path, gather(path).tree)
    recipe = load_recipe(path, overrides)
    _require_inference(path, recipe.tree)
    return recipe


def _locate(reference: str) -> Path:
    """As :func:`~bfmkit.recipe.sources.locate`, but where there is nothing, only what would fit is offered."""
    try:
        return locate(reference)
    except RecipeError:
        if Path(reference).is_dir():
            raise
        ours = [name for name, file in shipped().items() if file.parent.name == INFERENCE]
        near = suggestion(Path(reference.removesuffix(".yaml")).name, ours)
        message = f"there is neither such a file nor such a shipped recipe of type {INFERENCE}"
        raise refuse(reference, "", f"{message}{near} {one_of(ours)}") from None


def _require_inference(path: Path, tree: dict[str, Any]) -> None:
    """Refuse a recipe of another job; what is no job at all, checking the recipe says."""
    kind = tree.get("type")
    try:
        job: type | None = lookup(Job, kind) if isinstance(kind, str) else None
    except LookupError:
        return
    if job is not None and not issubclass(job, Experiment):
        raise refuse(label(path), "", f"a benchmark compares recipes of type {INFERENCE}, not {kind}")


def of_entry(name: str, problem: Problem) -> Problem:
    """The problem as one of the entry with this name: several may say the same file."""
    return replace(problem, file=": ".join(part for part in (name, problem.file) if part))
