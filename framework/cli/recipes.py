"""Commands on recipes: ``bfmkit show``, ``copy``, ``check`` and ``schema``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bfmkit.recipe.sources import locate, shipped
from bfmkit.utils.errors import CommandError


def show(arguments: argparse.Namespace) -> int:
    """Print the resolved recipe as YAML, which is a recipe itself."""
    from bfmkit.recipe import load_recipe

    sys.stdout.write(load_recipe(arguments.recipe, arguments.overrides).to_yaml())
    return 0


def copy(arguments: argparse.Namespace) -> int:
    """Copy a recipe as it is, comments included; overwrite nothing."""
    # A copy that lies here has the same name, and is not what is to be copied.
    source = shipped().get(arguments.recipe) or locate(arguments.recipe)
    destination: Path = arguments.destination or Path()
    if destination.is_dir():
        destination = destination / source.name
    try:
        with destination.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise CommandError(f"{destination}: is there already") from error
    except OSError as error:
        raise CommandError(f"{destination}: cannot be written: {error.strerror}") from error
    sys.stdout.write(f"{destination}\n")
    return 0


def check(arguments: argparse.Namespace) -> int:
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


def schema(arguments: argparse.Namespace) -> int:
    """Print the JSON schema of all recipes that the installed components allow."""
    from bfmkit.recipe.schema import recipe_schema

    schema, broken = recipe_schema()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    for line in broken:
        sys.stderr.write(f"left out: {line}\n")
    return 0
