"""Paths as a person writes them."""

from __future__ import annotations

import os
from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """``path``, with ``~`` or ``~USER`` in front replaced by that home folder; as it is where there is none."""
    return Path(os.path.expanduser(path))
