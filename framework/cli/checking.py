"""``bfmkit check``."""

from __future__ import annotations

import argparse
import os
import sys

from bfmkit.cli.errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    """Check and build each recipe, with the overrides, and say of every one what is wrong with it.

    A file that is not there is noted and no reason to refuse: another recipe may be the one that writes it.
    """
    from bfmkit.recipe import RecipeError, load_recipe
    from bfmkit.recipe.sources import shipped

    refused = False
    overrides = [word for word in arguments.words if "=" in word and not os.path.exists(word)]
    names = [word for word in arguments.words if word not in overrides]
    if overrides and not names:
        raise CommandError(f"{overrides[0]}: name the recipe that it changes")
    for name in names or shipped():
        try:
            recipe = load_recipe(name, overrides)
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
