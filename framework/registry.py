"""Typed registry: (interface, name) -> class."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TypeVar

ENTRY_POINTS = "bfmkit.components"
"""The entry-point group; each value names a package with a folder a kind and a file a component."""

T = TypeVar("T", bound=type)

_classes: dict[tuple[str, str], type] = {}


class UnknownComponent(LookupError):
    """No component of that kind has that name."""


def register(interface: type, name: str) -> Callable[[T], T]:
    """Class decorator: make a component known to recipes as ``name``.

    Raises:
        TypeError: if the class does not implement ``interface``, leaves a method abstract, or has a constructor
            argument without an annotation (recipes are checked against annotations).
        ValueError: if ``name`` is not lower_snake_case, or another class has it already.
    """

    def add(cls: T) -> T:
        if not (isinstance(cls, type) and issubclass(cls, interface)):
            raise TypeError(f"{cls.__name__} is registered as {interface.kind} {name!r} but is no {interface.__name__}")
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise TypeError(f"{cls.__name__} ({interface.kind} {name!r}) does not implement {', '.join(missing)}")
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:
            if parameter.annotation is inspect.Parameter.empty:
                raise TypeError(f"{cls.__name__} ({interface.kind} {name!r}): argument {parameter.name} has no annotation")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{name!r} is not a component name: use lower_snake_case")
        key = (interface.kind, name)
        other = _classes.get(key)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{interface.kind} {name!r} is already {other.__module__}.{other.__qualname__}")
        _classes[key] = cls
        return cls

    return add
