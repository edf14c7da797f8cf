"""Origin of a memory map: ``source.json`` in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCE = "source.json"
NAMED = 5
"""Skipped episodes whose names fit a line."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """Record with ``files``, ``skipped``, ``transitions`` and ``checksum``; None if there is none, or it is damaged."""
    try:
        record = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        whole = all(isinstance(record[name], list) for name in ("files", "skipped")) and bool(record["checksum"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def provenance_row(path: Path | str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """Row of a dataset's ``provenance()``.

    Args:
        path: what the recipe calls the data.
        record: what they were made of, if they were converted.
    """
    if record is None:
        return {"path": str(path), "checksum": None, "episodes": None, "skipped": 0}
    skipped = len(record["skipped"])
    episodes = len(record["files"]) + skipped
    return {"path": str(path), "checksum": record["checksum"], "episodes": episodes, "skipped": skipped}


def skipped_line(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Text ``FOLDER: 1 of 80 episodes skipped (NAMES); source.json there says why``; None if none was."""
    names = [row["name"] for row in record["skipped"]]
    if not names:
        return None
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    total = len(record["files"]) + len(names)
    return (
        f"{folder}: {len(names):,} of {total:,} episodes skipped ({', '.join(names[:NAMED])}{more}); "
        f"{SOURCE} there says why"
    )
