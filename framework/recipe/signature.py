"""Signatures of constructors: the schema of a recipe's node."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from bfmkit.interfaces.spec import EnvironmentSpec
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import constructor, constructor_parameters
from bfmkit.utils.errors import BfmkitError

REQUIRED = inspect.Parameter.empty


class SignatureError(BfmkitError, TypeError):
    """A constructor has annotations that recipes cannot be checked against."""


@dataclass(frozen=True)
class Argument:
    """Argument of a constructor: name, annotation, default."""

    name: str
    annotation: Any
    default: Any  # REQUIRED where there is none

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True)
class Signature:
    """Arguments of a constructor that a recipe gives, and the name of the one that takes the environment's spec."""

    arguments: dict[str, Argument]
    spec_argument: str | None


@cache
def signature_of(cls: type) -> Signature:
    """Signature of a component's constructor.

    Raises:
        SignatureError: if its annotations cannot be resolved.
    """
    try:
        hints = get_type_hints(constructor(cls), include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise SignatureError(f"{where} has annotations that do not resolve: {error}") from error
    factories = {field.name: field.default_factory for field in fields(cls)} if is_dataclass(cls) else {}
    arguments = {}
    spec_argument = None
    for parameter in constructor_parameters(cls):
        annotation = hints.get(parameter.name, Any)
        if EnvironmentSpec in (annotation, *members(annotation)):
            spec_argument = parameter.name
        else:
            factory = factories.get(parameter.name)
            default = factory() if callable(factory) else parameter.default
            arguments[parameter.name] = Argument(parameter.name, annotation, default)
    return Signature(arguments, spec_argument)


def is_interface(annotation: Any) -> bool:
    """Whether a type is an interface, whose values are nodes of their own."""
    return (
        isinstance(annotation, type)
        and isinstance(getattr(annotation, "kind", None), str)
        and isinstance(getattr(annotation, "folder", None), str)
    )


def is_settings(annotation: Any) -> bool:
    """Whether a type is a dataclass, written as a mapping with known keys and no ``type``."""
    return isinstance(annotation, type) and is_dataclass(annotation)


def tag_of(annotation: Any) -> str | None:
    """The ``type`` by which settings are told from others that may stand in their place; None without one."""
    argument = signature_of(annotation).arguments.get("type") if is_settings(annotation) else None
    choices = get_args(argument.annotation) if argument and get_origin(argument.annotation) is Literal else ()
    return choices[0] if len(choices) == 1 else None


def deferred_type(annotation: Any) -> Any:
    """Type T of ``Deferred[T]``; None for other types."""
    return get_args(annotation)[0] if get_origin(annotation) is Deferred else None


def members(annotation: Any) -> tuple[Any, ...]:
    """Members of a union type; the type itself where it is none."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(inner for each in get_args(annotation) for inner in members(each))
    return (annotation,)


def is_plain(annotation: Any) -> bool:
    """Whether no part of this type is a node, so that pydantic can check it as a whole."""
    if is_interface(annotation) or is_settings(annotation) or deferred_type(annotation) is not None:
        return False
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) is Annotated:
        return is_plain(get_args(annotation)[0])
    return all(is_plain(each) for each in get_args(annotation) if each is not Ellipsis)


def item_types(annotation: Any) -> tuple[type, Any] | None:
    """Container and item type of a list, tuple or dict; None for other types.

    A tuple of fixed length gives its types in a tuple; every other container gives one type.
    """
    origin = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    if origin in (list, Sequence):
        return list, arguments[0] if arguments else Any
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple, arguments[0]
        return tuple, arguments if arguments else Any
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict, arguments[1] if len(arguments) == 2 else Any
    return None
