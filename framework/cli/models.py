"""``bfmkit push``: models to the Hugging Face hub or another folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bfmkit.utils.errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    """Copy a model, with its weights in another type if asked, and say how far that moves its actions."""
    from bfmkit.models import hub
    from bfmkit.models.folder import copy_model, resolve

    to_hub = arguments.destination.startswith(hub.PREFIX)
    try:
        source = resolve(arguments.model)
        if to_hub:
            hub.parse(arguments.destination)
        with TemporaryDirectory() as place:
            folder = Path(place) / "model" if to_hub else Path(arguments.destination)
            if to_hub and arguments.weights is None:
                folder = source
            else:
                change = copy_model(source, folder, arguments.weights or "float32")
                sys.stderr.write(f"no entry of an action moves by more than {change:.2g}\n")
            where = str(folder)
            if to_hub:
                where = hub.push(folder, arguments.destination, private=not arguments.public)
    except (FileNotFoundError, FileExistsError, ValueError) as error:
        raise CommandError(str(error)) from error
    sys.stdout.write(f"{where}\n")
    return 0
