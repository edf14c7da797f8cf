"""``bfmkit check``."""

from __future__ import annotations

import argparse
import sys


def run(arguments: argparse.Namespace) -> int:
    """Check and build each recipe, and say of every one what is wrong with it.

    A file that is not there is noted and no reason to refuse: another recipe may be the one that writes it.
    """
    from bfmkit.recipe import RecipeError, load_recipe
    from bfmkit.recipe.sources import shipped

    refused = False
    for name in arguments.recipes or shipped():
        try:
            recipe = load_recipe(name)
            _build(recipe)
        except RecipeError as error:
            refused = True
            sys.stderr.write(f"{error}\n")
            continue
        sys.stdout.write(f"ok {recipe.source}\n")
    return 2 if refused else 0


def _build(recipe) -> None:  # type: ignore[no-untyped-def]
    from bfmkit.recipe import RecipeError

    try:
        recipe.build()
    except RecipeError as error:
        if not all(problem.missing_file for problem in error.problems):
            raise
        for problem in error.problems:
            sys.stderr.write(f"{problem} (yet)\n")
