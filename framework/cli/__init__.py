"""The command line, ``bfmkit``."""

from bfmkit.cli.main import main

__all__ = ["main"]
