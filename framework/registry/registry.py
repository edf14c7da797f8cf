"""Typed registry: (interface, name) -> class, or function that makes one."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

from bfmkit.registry import discovery
from bfmkit.registry.kinds import KINDS
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.utils.checks import check_ranges
from bfmkit.utils.errors import RefusedError

ENTRY_POINTS = discovery.ENTRY_POINTS

T = TypeVar("T", bound=Callable[..., Any])

_classes: dict[tuple[str, str], Any] = {}


class UnknownComponentError(RefusedError, LookupError):
    """Error of a name that no component of a kind has."""


class BrokenComponentError(RefusedError, LookupError):
    """Error of a component's file that cannot be imported, or does not register it."""


def register(interface: type, name: str) -> Callable[[T], T]:
    """Decorator that registers a class, or a function that makes one, as ``name`` for recipes.

    Raises:
        TypeError: if the class does not implement ``interface``, leaves a method abstract, or has a constructor
            argument without an annotation (recipes are checked against annotations).
        ValueError: if ``name`` is not lower_snake_case, or another class has it already.

    Example:
        >>> from bfmkit.interfaces import QueryRule
        >>> @register(QueryRule, "even_labels")
        ... class EvenLabels(QueryRule):
        ...     def should_query(self, posterior, belief, features, labels):
        ...         return labels % 2 == 0  # every second reward
        >>> names(QueryRule)
        ['always', 'budget', 'd_gap', 'even_labels']
    """
    kind: str = interface.kind  # type: ignore[attr-defined]

    def add(cls: T) -> T:
        made = cls if isinstance(cls, type) else get_type_hints(cls).get("return")
        if not (isinstance(made, type) and issubclass(made, interface)):
            raise TypeError(f"{cls.__name__} is registered as {kind} {name!r} but is no {interface.__name__}")
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise TypeError(f"{cls.__name__} ({kind} {name!r}) does not implement {', '.join(missing)}")
        for parameter in constructor_parameters(cls):
            if parameter.annotation is inspect.Parameter.empty:
                raise TypeError(f"{cls.__name__} ({kind} {name!r}): argument {parameter.name} has no annotation")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{name!r} is not a component name: use lower_snake_case")
        other = _classes.get((kind, name))
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{kind} {name!r} is already {other.__module__}.{other.__qualname__}")
        _classes[kind, name] = check_ranges(cls) if isinstance(cls, type) else cls
        return cls

    return add


def constructor(component: Any) -> Callable[..., Any]:
    """Callable whose annotations are the component's arguments: ``__init__`` of a class, a function itself."""
    return component.__init__ if isinstance(component, type) else component  # type: ignore[misc]


def constructor_parameters(component: Any) -> list[inspect.Parameter]:
    """Named arguments of a component, without ``*args`` and ``**kwargs``."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    skipped = 1 if isinstance(component, type) else 0
    parameters = list(inspect.signature(constructor(component)).parameters.values())[skipped:]
    return [parameter for parameter in parameters if parameter.kind not in variadic]


def lookup(interface: type, name: str) -> Any:
    """Class or function registered as ``name``; its file is imported on the first look-up.

    Raises:
        UnknownComponentError: if there is none; the message has the nearest name and all names.
        BrokenComponentError: if its file fails to import; the message names the file's module and the failure.
    """
    kind, folder = _words(interface)
    known = _classes.get((kind, name))
    if known is not None:
        return known
    if isinstance(name, str) and name.isidentifier():
        modules = [
            f"{package}.{folder}.{name}"
            for package in discovery.packages()
            if name in (each for each, _ in discovery.component_files(package, folder))
        ]
        if modules:
            if len(modules) > 1:
                warnings.warn(f"{kind} {name!r}: {modules[0]} hides {', '.join(modules[1:])}", stacklevel=2)
            return _import(kind, name, modules[0])
    every = names(interface)
    raise UnknownComponentError(f'no {kind} "{name}"{suggestion(name, every)} {one_of(every)}')


def _import(kind: str, name: str, module: str) -> Any:
    try:
        importlib.import_module(module)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise BrokenComponentError(f'{kind} "{name}" cannot be imported from {module}: {reason}') from error
    if (kind, name) not in _classes:
        raise BrokenComponentError(f'{module} does not register a {kind} "{name}": its file and its name must agree')
    return _classes[kind, name]


def names(interface: type | str) -> list[str]:
    """Sorted names of all components of a kind, broken ones included; none is imported."""
    kind, folder = _words(interface)
    return sorted(discovery.component_names(folder) | {name for of_kind, name in _classes if of_kind == kind})


def _words(interface: Any) -> tuple[str, str]:
    if not isinstance(interface, str):
        return interface.kind, interface.folder
    if interface not in KINDS:
        raise UnknownComponentError(f'no kind "{interface}"{suggestion(interface, list(KINDS))} {one_of(list(KINDS))}')
    return interface, KINDS[interface].folder
