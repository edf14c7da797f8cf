"""Recipes: YAML -> checked tree -> built components."""

from bfmkit.recipe.node import Node
from bfmkit.recipe.problems import Problem, RecipeError
from bfmkit.recipe.recipe import Recipe, build_node, check_node, load_recipe

__all__ = ["Node", "Problem", "Recipe", "RecipeError", "build_node", "check_node", "load_recipe"]
