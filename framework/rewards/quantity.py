"""Physics quantities of rewards: names and units.

A domain lists them in a class attribute, ``measured = (Quantity("torso_height", "m", "of the torso"), ...)``, beside
its ``name``. So they can be read off the source files, and listing them imports no physics engine.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bfmkit.registry import discovery

FOLDER = "environments"


class Quantity(NamedTuple):
    """Physics quantity: name, unit and description."""

    name: str
    unit: str  # "1" for a ratio
    about: str


def listed_quantities() -> dict[str, list[Quantity]]:
    """Quantities by domain, over all packages of components; unreadable files are left out."""
    found: dict[str, list[Quantity]] = {}
    for package in discovery.packages():
        folder = discovery.folder_of(package, FOLDER)
        for path in sorted(folder.rglob("*.py")) if folder is not None else ():
            for domain, quantities in _read(path):
                found.setdefault(domain, quantities)
    return found


def _read(path: Path) -> Iterator[tuple[str, list[Quantity]]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            values = dict(_assignments(node))
            name, measured = values.get("name"), values.get("measured")
            if isinstance(name, ast.Constant) and isinstance(measured, ast.Tuple | ast.List):
                calls = [call for call in measured.elts if isinstance(call, ast.Call) and len(call.args) == 3]
                yield (
                    str(name.value),
                    [Quantity(*(str(ast.literal_eval(each)) for each in call.args)) for call in calls],
                )


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id, each.value
        elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            yield each.targets[0].id, each.value
