"""``bfmkit copy``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bfmkit.cli.errors import CommandError
from bfmkit.recipe.sources import locate, shipped


def run(arguments: argparse.Namespace) -> int:
    """Copy a recipe as it stands, comments included; overwrite nothing."""
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
