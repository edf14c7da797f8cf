"""``bfmkit fill``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bfmkit.cli.errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    """Fill in the template, write the document and its pictures; 1 if it claims what no longer holds."""
    template: Path = arguments.template
    try:
        text = template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{template}: cannot be read: {error}") from error
    to: Path = arguments.to or template.with_suffix("")
    if to == template:
        raise CommandError(f"{template}: say with --to where the document goes")
    from bfmkit.report.document import fill

    filled = fill(text, arguments.runs)
    try:
        filled.write(to)
    except OSError as error:
        raise CommandError(f"--to {to}: cannot be written: {error.strerror}") from error
    sys.stdout.write(f"{to}\n")
    sys.stderr.write("".join(f"no longer true: {words}\n" for words in filled.broken))
    return 1 if filled.broken else 0
