"""How the scripts beside this file hand on what they measured: a JSON file that a document takes its numbers from.

    --json FILE

The file holds one flat object of names and numbers, ``measured``, and where they come from: command, time, machine,
threads, versions and revision.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from bfmkit.utils.files import write_atomically
from bfmkit.utils.provenance import command_line, provenance


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a script's command line the option ``--json FILE``; what it says is handed to :func:`write_measured`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers as JSON, too")


def write_measured(path: Path | None, numbers: Mapping[str, float]) -> None:
    """Write the numbers and where they come from; nothing without a path.

    Args:
        path: what ``--json`` said.
        numbers: by name, each in the unit that its name ends with, such as ``width_256.step_ms``.

    Raises:
        ValueError: if one of them is not finite.
    """
    if path is None:
        return
    wrong = [name for name, value in numbers.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(f"not finite: {', '.join(wrong)}")
    facts = {"command": command_line(), "threads": torch.get_num_threads()}
    content = {"measured": {name: float(value) for name, value in numbers.items()}, **provenance(facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
