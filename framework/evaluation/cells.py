"""Cells of a benchmark on disk: one recipe, task and seed in a file, written once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from bfmkit.utils.files import to_json, write_atomically

CELLS, ORACLES, FLOORS = "cells", "oracles", "floors"


@dataclass(frozen=True)
class Cell:
    """Result of one recipe on one task with one seed."""

    recipe: str  # its name in the benchmark; the reference's name for the cell of an oracle or a floor
    task: str  # a name, or a typed reward
    seed: int  # of the run
    status: Literal["done", "failed"] = "done"
    """``failed`` for a run that stopped early; its episodes up to then are kept."""
    error: str | None = None  # why it stopped
    episodes: list[dict[str, Any]] = field(default_factory=list)
    """Of each ``return``, ``steps``, ``labels``, and ``policy`` of agents that have several; for long ones also
    ``windows``, a list of the first three."""
    seconds: float = 0.0  # how long the group took that the cell ran in
    group: int = 1  # how many cells ran in one batch with it, itself among them
    oracle: str | None = None  # whose cells in ``oracles/`` it is measured against
    lost: bool = False
    """Whether it failed through no doing of its own (its worker died), so that the same command runs it again."""
    traceback: str | None = None  # of the error that it raised, if it raised one
    floor: str | None = None  # whose cells in ``floors/`` it is measured against

    def write(self, folder: Path) -> None:
        """Write ``folder/<recipe>/<task>/<seed>.json``, atomically."""
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_json(asdict(self)))

    def path(self, folder: Path) -> Path:
        """Path of the cell's file."""
        return folder / folder_name(self.recipe) / folder_name(self.task) / f"{self.seed}.json"


def read_cells(folder: Path) -> Iterator[Cell]:
    """Cells in ``out/cells``, ``out/oracles`` or ``out/floors``, in the order of their paths.

    Raises:
        ValueError: if a file is no cell; the message names it.
    """
    for path in sorted(folder.glob("*/*/*.json")):
        yield read_cell(path)


def read_cell(path: Path) -> Cell:
    """Cell read from its file.

    Raises:
        ValueError: if the file is no cell; the message names it.
    """
    known = {entry.name for entry in fields(Cell)}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Cell(**{key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: no cell of a benchmark ({error}); delete it, and the same command runs it"
        ) from error


def reference_label(name: str) -> str:
    """Name of an oracle or floor in tables, distinct from recipes of that name."""
    return f"reference {name}"


def folder_name(word: str) -> str:
    """Folder name of a word: itself if possible, else a shortened form with a checksum."""
    kept = re.sub(r"[^A-Za-z0-9_+-]+", "_", word)[:60]
    return word if kept == word else f"{kept}-{crc32(word.encode()):08x}"
