"""``bfmkit schema``."""

from __future__ import annotations

import argparse
import json
import sys


def run(arguments: argparse.Namespace) -> int:
    """Print the JSON schema of all recipes that the installed components allow."""
    from bfmkit.recipe.schema import recipe_schema

    schema, broken = recipe_schema()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    for line in broken:
        sys.stderr.write(f"left out: {line}\n")
    return 0
