"""Overrides from the command line or from Python: ``path.to.key=value``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bfmkit.interfaces import Job
from bfmkit.recipe.merging import Layers
from bfmkit.recipe.problems import Problem
from bfmkit.recipe.signature import (
    Argument,
    SignatureError,
    deferred_type,
    is_interface,
    is_settings,
    item_types,
    members,
    signature_of,
)
from bfmkit.recipe.values import bare
from bfmkit.recipe.yaml_text import YamlError, read
from bfmkit.registry import BrokenComponentError, UnknownComponentError, lookup

COMMAND_LINE = "command line"

_FIXED = ("extends", "schema_version")
_OPENING = ("'", '"', "[", "{")

Overrides = Sequence[str] | Mapping[str, Any]


def override(layers: Layers, overrides: Overrides) -> list[Problem]:
    """Lay overrides over a recipe; their order matters only where one path is given twice.

    ``x.type=other`` counts as saying something of ``x``, so it goes before ``x.key=value`` and does not undo it.

    Returns:
        A problem for each that is no ``key=value``, has a value that is no YAML, or leads through a plain value.
    """
    problems: list[Problem] = []
    pairs = [(tuple(path.split(".")), value, is_text) for path, value, is_text in _pairs(overrides, problems)]
    for keys, _, _ in pairs:
        if keys[0] in _FIXED:
            problems.append(Problem(COMMAND_LINE, keys[0], "belongs to the file and cannot be overridden"))
    pairs = [pair for pair in pairs if pair[0][0] not in _FIXED]
    for keys, value, is_text in sorted(pairs, key=lambda pair: len(pair[0]) - (pair[0][-1] == "type")):
        try:
            layers.set(keys, _value(value, _types_at(layers.tree, keys)) if is_text else value, COMMAND_LINE)
        except (LookupError, YamlError) as error:
            problems.append(Problem(COMMAND_LINE, ".".join(keys), str(error)))
    return problems


def _value(text: str, alternatives: list[Any]) -> Any:
    """What a text after ``=`` stands for: itself where a text or a path is wanted, unless quotes or brackets open it.

    Args:
        text: what was typed.
        alternatives: the types that the argument may have, none of them a union; empty where they are not known.

    Raises:
        YamlError: if it is to be YAML and is not, or would lose a comment.
    """
    types = {bare(each) for each in alternatives}
    if types & {str, Path} and not text.lstrip().startswith(_OPENING):
        return _plain(text.strip(), types - {str, Path})
    if " #" in text and not text.lstrip().startswith(_OPENING):
        raise YamlError(f'"{text}": what follows # would be lost; put the value in quotes')
    return read(text)


def _plain(text: str, others: set[Any]) -> Any:
    """The text, or the number, truth value or nothing that it is where the argument takes that as well."""
    if text in ("", "null") and (not text or type(None) in others):
        return None
    try:
        value = read(text)
    except YamlError:
        return text
    is_number = isinstance(value, int) and not isinstance(value, bool) and float in others
    return value if is_number or (value is not None and type(value) in others) else text


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


def _types_at(tree: dict[str, Any], path: tuple[str, ...]) -> list[Any]:
    """The types, none of them a union, that a recipe's value at ``path`` may have; none where that is not known."""
    alternatives: list[Any] = [Job]
    value: Any = tree
    for key in path:
        alternatives = [inner for each in alternatives for inner in _inside(each, value, key)]
        value = _at(value, key)
    return alternatives


def _at(value: Any, key: str) -> Any:
    """What a mapping or a list has at a key, None where it has nothing there."""
    if isinstance(value, dict):
        return value.get(key)
    return value[int(key)] if isinstance(value, list) and key.isdigit() and int(key) < len(value) else None


def _inside(annotation: Any, value: Any, key: str) -> tuple[Any, ...]:
    """The types that may stand at a key of a value of this type."""
    inner = deferred_type(annotation)
    if inner is not None:
        return tuple(found for each in members(inner) for found in _inside(each, value, key))
    if is_settings(annotation) or is_interface(annotation):
        named = value.get("type") if isinstance(value, dict) else None
        cls = annotation if is_settings(annotation) else _component(annotation, named)
        argument = None if cls is None else _arguments(cls).get(key)
        return () if argument is None else members(argument.annotation)
    items = item_types(annotation)
    if items is None or isinstance(value, dict) != (items[0] is dict):
        return ()
    inside = items[1]
    if isinstance(inside, tuple):
        inside = inside[int(key)] if key.isdigit() and int(key) < len(inside) else None
    return members(inside)


def _component(interface: type, name: Any) -> type | None:
    try:
        return lookup(interface, name) if isinstance(name, str) else None
    except (UnknownComponentError, BrokenComponentError):  # whoever checks the recipe will say so
        return None


def _arguments(cls: type) -> dict[str, Argument]:
    try:
        return signature_of(cls).arguments
    except SignatureError:
        return {}
