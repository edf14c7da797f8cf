"""Recipes: YAML -> checked tree -> built components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bfmkit.recipe.node import Node
    from bfmkit.recipe.problems import Problem, RecipeError
    from bfmkit.recipe.recipe import Recipe, build_node, check_node, defer, load_recipe

__all__ = ["Node", "Problem", "Recipe", "RecipeError", "build_node", "check_node", "defer", "load_recipe"]

_HOMES = {"Node": "node", "Problem": "problems", "RecipeError": "problems"}


def __getattr__(name: str) -> Any:
    # Checking a recipe needs the interfaces and so torch; finding and copying one does not.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"bfmkit.recipe.{_HOMES.get(name, 'recipe')}"), name)
