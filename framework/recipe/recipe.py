"""Recipes: from a name or a file to a built job; nodes from Python or a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bfmkit.interfaces import EnvironmentSpec, Job
from bfmkit.recipe.checking import INVALID, Checker
from bfmkit.recipe.deferred import Deferred
from bfmkit.recipe.inheriting import SCHEMA_VERSION, gather
from bfmkit.recipe.node import Node, plain_copy
from bfmkit.recipe.overriding import Overrides, override
from bfmkit.recipe.problems import RecipeError
from bfmkit.recipe.resolving import interpolate
from bfmkit.recipe.sources import label, locate
from bfmkit.recipe.yaml_text import write

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """Recipe that has been read and checked; nothing is built yet."""

    name: str
    source: str  # the file, as messages call it
    tree: dict[str, Any]  # resolved: no extends, no interpolation; defaults are not filled in
    root: Node

    @property
    def job_class(self) -> type[Job]:
        """Class of the job that :meth:`build` builds."""
        return self.root.cls

    def build(self) -> Job:
        """Job with every component built.

        Raises:
            RecipeError: with every value that a constructor refuses.
        """
        return self.root.build()

    def __repr__(self) -> str:
        return f"<recipe {self.name} of type {self.tree['type']}, {self.source}; to_yaml() shows it>"

    def to_yaml(self) -> str:
        """Resolved recipe as YAML; reading it gives this recipe again."""
        return write({"schema_version": SCHEMA_VERSION, **self.tree})


def load_recipe(name_or_path: str | Path, overrides: Overrides = ()) -> Recipe:
    """Checked recipe of a file or of a shipped name, with overrides.

    Args:
        name_or_path: a file, or the name of a shipped recipe.
        overrides: ``["path.to.key=value", ...]`` or ``{"path.to.key": value}``.

    Raises:
        RecipeError: with every problem that can be seen before anything is built.
    """
    path = locate(name_or_path)
    layers = gather(path)
    unusable = override(layers, overrides)
    tree, unresolved = interpolate(layers)
    known_bad = {tuple(problem.path.split(".")) for problem in unresolved}
    checker = Checker(layers.source_of, known_bad, layers.last_word_on)
    checker.problems += [*unusable, *unresolved]
    root = checker.node(Job, tree, root=True)
    if root is INVALID or checker.problems:
        raise RecipeError(checker.problems)
    return Recipe(path.stem, label(path), tree, root)


def check_node(interface: type, tree: dict[str, Any], source: str = "", has_spec: bool = True) -> Node:
    """Checked node of a tree that is no whole recipe.

    Args:
        interface: the abstract class of its kind.
        source: what messages call the place it comes from.
        has_spec: whether an environment's spec will be at hand when it is built.

    Raises:
        RecipeError: with all that is wrong with it.
    """
    checker = Checker(lambda _: source)
    node = checker.node(interface, plain_copy(tree), has_spec=has_spec)
    if node is INVALID:
        raise RecipeError(checker.problems)
    return node


def build_node(interface: type[T], tree: dict[str, Any], spec: EnvironmentSpec | None = None, source: str = "") -> T:
    """Component built from one node.

    Raises:
        RecipeError: with all that is wrong with it, or with what a constructor refuses.
    """
    return check_node(interface, tree, source, has_spec=spec is not None).build(spec)


def defer(interface: type[T], tree: dict[str, Any]) -> Deferred[T]:
    """Checked node to be built later, e.g. ``defer(Posterior, {"type": "ridge"})``.

    Raises:
        RecipeError: with all that is wrong with it.
    """
    return Deferred(check_node(interface, tree))
