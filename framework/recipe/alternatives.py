"""Which of several kinds of mapping a mapping is, where an argument takes more than one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bfmkit.interfaces import Job
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
from bfmkit.registry import BrokenComponentError, UnknownComponentError, lookup


def replaces(alternatives: Collection[Any], below: dict[str, Any], over: dict[str, Any]) -> bool:
    """Whether ``over`` is of another kind than ``below``, and so no change of it but something else in its place.

    It is, if some of its keys belong to no kind that ``below`` can be, and all of them to one that it cannot be.

    Args:
        alternatives: the types that may stand there (:func:`alternatives_at`).
        below: what stands there.
        over: what is to be laid over it.
    """
    standing = [each for each in alternatives if takes(each, below, below.get("type"))]
    # Anything can be a mapping with keys of one's own, but what fits known keys is meant as that.
    standing = [each for each in standing if item_types(each) is None] or standing
    name = over.get("type", below.get("type"))
    if not standing or any(takes(each, over, name) for each in standing):
        return False
    return any(takes(each, over, over.get("type")) for each in alternatives)


def takes(annotation: Any, keys: Collection[str], name: Any = None) -> bool:
    """Whether a mapping with these keys, and perhaps others, can be a value of a type that is no union.

    Args:
        annotation: the type.
        keys: those of the mapping.
        name: the ``type`` of the node, if it is to be one.
    """
    inner = deferred_type(annotation)
    if inner is not None:
        return any(takes(each, keys, name) for each in members(inner))
    if is_settings(annotation):
        return set(keys) <= set(_arguments(annotation))
    if is_interface(annotation):
        cls = _component(annotation, name)
        return cls is not None and set(keys) <= {"type", *_arguments(cls)}
    items = item_types(annotation)
    return items is not None and items[0] is dict


def alternatives_at(tree: dict[str, Any], path: tuple[str, ...]) -> list[Any]:
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
