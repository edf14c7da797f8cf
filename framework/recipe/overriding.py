"""Overrides from the command line or from Python: ``path.to.key=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bfmkit.recipe.merging import Layers
from bfmkit.recipe.problems import Problem
from bfmkit.recipe.yaml_text import BadText, read

COMMAND_LINE = "command line"

_FIXED = ("extends", "schema_version")

Overrides = Sequence[str] | Mapping[str, Any]


def override(layers: Layers, overrides: Overrides) -> list[Problem]:
    """Lay overrides over a recipe; their order matters only where one path is given twice.

    ``x.type=other`` counts as saying something of ``x``, so it goes before ``x.key=value`` and does not undo it.

    Returns:
        A problem for each that is no ``key=value``, has a value that is no YAML, or leads through a plain value.
    """
    problems: list[Problem] = []
    pairs: list[tuple[tuple[str, ...], Any]] = []
    for path, text, is_text in _pairs(overrides, problems):
        try:
            pairs.append((tuple(path.split(".")), read(text) if is_text else text))
        except BadText as error:
            problems.append(Problem(COMMAND_LINE, path, str(error)))
    for keys, _ in pairs:
        if keys[0] in _FIXED:
            problems.append(Problem(COMMAND_LINE, keys[0], "belongs to the file and cannot be overridden"))
    pairs = [pair for pair in pairs if pair[0][0] not in _FIXED]
    for keys, value in sorted(pairs, key=lambda pair: len(pair[0]) - (pair[0][-1] == "type")):
        try:
            layers.set(keys, value, COMMAND_LINE)
        except LookupError as error:
            problems.append(Problem(COMMAND_LINE, ".".join(keys), str(error)))
    return problems


def _pairs(overrides: Overrides, problems: list[Problem]) -> list[tuple[str, Any, bool]]:
    if isinstance(overrides, Mapping):
        return [(path, value, False) for path, value in overrides.items()]
    pairs = []
    for text in overrides:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not all(path.split(".")):
            problems.append(Problem(COMMAND_LINE, "", f'"{text}": expected path.to.key=value'))
        else:
            pairs.append((path, value, True))
    return pairs
