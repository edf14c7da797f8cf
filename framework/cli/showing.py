"""``bfmkit show``."""

from __future__ import annotations

import argparse
import sys


def run(arguments: argparse.Namespace) -> int:
    """Print the resolved recipe as YAML, which is a recipe itself."""
    from bfmkit.recipe import load_recipe

    sys.stdout.write(load_recipe(arguments.recipe, arguments.overrides).to_yaml())
    return 0
