"""Grid of recipes, tasks and seeds, cut into groups of runs that share a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from bfmkit.evaluation.benchmark.entry import BenchmarkRecipe, of_entry
from bfmkit.evaluation.benchmark.group import Group
from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.inference.experiment import Experiment, Role, Run
from bfmkit.recipe import RecipeError
from bfmkit.recipe.problems import Problem
from bfmkit.recipe.yaml_text import write


def grid(
    benchmark_recipes: Sequence[BenchmarkRecipe],
    workbench: Workbench,
    settings: Mapping[str, Any],
    batch_size: int,
    threads: int,
) -> list[Group]:
    """All groups, those of references first; every recipe is built once, so that what is wrong with any is said now.

    Recipes that agree in model, environment and oracle share one, which lives as many episodes as the longest of them
    asks for, on the runs of all of them; so with the floor.

    Raises:
        RecipeError: with what constructors refuse, parts that do not fit each other and tasks that do not exist.
        FileNotFoundError: if nothing else is wrong than that a file, such as a model, is missing.
    """
    of_recipes: list[Group] = []
    references: dict[tuple[Role, str], Group] = {}
    problems: list[Problem] = []
    for recipe in benchmark_recipes:
        experiment = _built(recipe, workbench, settings, problems)
        if experiment is None:
            continue
        group = Group(
            recipe.name, 0, recipe.tree, tuple(experiment.runs), experiment.episodes,
            oracle=_reference("oracle", recipe, experiment, references),
            floor=_reference("floor", recipe, experiment, references),
        )  # fmt: skip
        of_recipes.append(group)
    if problems and all(problem.missing_file for problem in problems):
        raise FileNotFoundError("; ".join(map(str, problems)))
    if problems:
        raise RecipeError(problems)
    whole = [*references.values(), *of_recipes]
    return [piece for group in whole for piece in _pieces(group, batch_size, threads)]


def _reference(
    role: Literal["oracle", "floor"],
    recipe: BenchmarkRecipe,
    experiment: Experiment,
    known: dict[tuple[Role, str], Group],
) -> str | None:
    """The name of a recipe's reference, which is added to those known, or shared; None if it has none."""
    episodes = experiment.oracle_episodes if role == "oracle" else experiment.floor_episodes
    if episodes == 0:
        return None
    key = role, write({name: recipe.tree.get(name) for name in ("bfm", "environment", role)})
    count = sum(other == role for other, _ in known)
    name = f"{role}_{count + 1}" if count else role
    group = known.setdefault(key, Group(name, 0, recipe.tree, (), 0, role=role))
    known[key] = group.extended(experiment.runs, episodes)
    return group.name


def as_played(recipe: BenchmarkRecipe, groups: Sequence[Group]) -> dict[str, Any]:
    """A recipe's recipe with the tasks, seeds and episodes of its cells, whatever it says of them itself."""
    own = [group for group in groups if group.name == recipe.name and group.role == "agent"]
    runs = [run for group in own for run in group.runs]
    # The seeds are listed, so that the first is not looked at; batches are the benchmark's, and nothing is traced.
    unused = ("seed", "batch_size", "trace_every")
    tree = {key: value for key, value in recipe.tree.items() if key not in unused}
    return tree | {
        "tasks": list(dict.fromkeys(run.task for run in runs)),
        "seeds": list(dict.fromkeys(run.seed for run in runs)),
        "episodes": own[0].episodes,
    }


def _built(
    recipe: BenchmarkRecipe, workbench: Workbench, settings: Mapping[str, Any], problems: list[Problem]
) -> Experiment | None:
    """The experiment of a recipe; None, and its problems added to the others, where it cannot be built."""
    try:
        return workbench.experiment(recipe.tree, recipe.root, **settings)
    except RecipeError as error:
        problems += [of_entry(recipe.name, problem) for problem in error.problems]
    except ValueError as error:
        problems.append(Problem(recipe.name, "", str(error)))
    return None


def _pieces(group: Group, batch_size: int, threads: int) -> Iterator[Group]:
    for number, first in enumerate(range(0, len(group.runs), batch_size)):
        runs: tuple[Run, ...] = group.runs[first : first + batch_size]
        yield group.piece(number, runs, threads)
