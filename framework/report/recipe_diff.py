"""Differences of recipes, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = None
NO_VALUES = ("schema_version",)
"""What a file says of itself."""


@dataclass(frozen=True)
class Line:
    """Value of several recipes at one path."""

    path: str  # where it stands
    values: tuple[str | None, ...]  # as text; None where a tree does not have it

    @property
    def differs(self) -> bool:
        """Whether the values are not all equal."""
        return len(set(self.values)) > 1


def side_by_side(trees: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Values of recipes by path, in the order in which the recipes name them."""
    flat = [dict(_leaves({key: item for key, item in tree.items() if key not in NO_VALUES})) for tree in trees]
    paths = dict.fromkeys(path for values in flat for path in values)
    return [Line(path, tuple(values.get(path, ABSENT) for values in flat)) for path in _grouped(list(paths))]


def _leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{path}.{index}")]
    return [(path, _text(value))]


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return str(value)


def _grouped(paths: list[str]) -> list[str]:
    """Paths in order, those of later recipes only beside their siblings."""
    ordered: list[str] = []
    for path in paths:
        parent = path.rpartition(".")[0]
        places = [index for index, other in enumerate(ordered) if parent and other.startswith(f"{parent}.")]
        ordered.insert(places[-1] + 1 if places else len(ordered), path)
    return ordered
