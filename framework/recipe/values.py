"""Plain values: coercion and checks by pydantic, messages in plain words."""

from __future__ import annotations

import math
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from bfmkit.recipe.signature import deferred_type, is_interface, is_settings, item_types, members, signature_of
from bfmkit.registry.messages import one_of, quoted, suggestion
from bfmkit.utils.checks import range_problem
from bfmkit.utils.errors import RefusedError
from bfmkit.utils.files import expand_home


class RecipeValueError(RefusedError, ValueError):
    """A value is not of the type that a constructor wants; the message is for the recipe's author."""


def convert(annotation: Any, value: Any) -> Any:
    """Value converted to the type of a constructor's argument.

    Stricter than pydantic's own habits where YAML already says what a value is: true is no number, "3" in quotes is
    text, and no text is a truth value.

    Raises:
        RecipeValueError: if it does not fit.
    """
    leaves = [bare(each) for each in members(annotation)]
    if isinstance(value, bool) and not any(_takes_bool(leaf) for leaf in leaves):
        raise RecipeValueError(f"expected {describe(annotation)}, got {quoted(value)}")
    numeric = all(leaf in (int, float, bool, type(None)) for leaf in leaves)
    if numeric and isinstance(value, str):
        raise RecipeValueError(f"expected {describe(annotation)}, got {quoted(value)}")
    if isinstance(value, int | float) and not isinstance(value, bool) and set(leaves) <= {bool, type(None)}:
        raise RecipeValueError(f"expected {describe(annotation)}, got {quoted(value)}")
    if isinstance(value, float) and math.isnan(value):
        raise RecipeValueError(f"expected {describe(annotation)}, got nan")
    problem = range_problem(annotation, value)
    if problem is not None:
        raise RecipeValueError(problem)
    try:
        return _at_home(adapter(annotation).validate_python(value))
    except ValidationError as error:
        raise RecipeValueError(_reword(annotation, value, error)) from error
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise RecipeValueError(f"a recipe cannot hold a {describe(annotation)}") from error


def _at_home(value: Any) -> Any:
    """Paths whose first part is ``~`` start in the home folder."""
    if isinstance(value, Path):
        return expand_home(value)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_at_home(item) for item in value)
    return {key: _at_home(item) for key, item in value.items()} if type(value) is dict else value


def adapter(annotation: Any) -> TypeAdapter:
    """pydantic's TypeAdapter of a type."""
    try:
        return _adapter(annotation)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _adapter.__wrapped__(annotation)


@cache
def _adapter(annotation: Any) -> TypeAdapter:
    plain = not any(isinstance(each, type) and hasattr(each, "__pydantic_config__") for each in members(annotation))
    try:
        return TypeAdapter(annotation, config=ConfigDict(extra="forbid") if plain else None)
    except PydanticUserError:  # a type that brings its own configuration
        return TypeAdapter(annotation)


def bare(annotation: Any) -> Any:
    """Type without its ``Annotated`` metadata."""
    return bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _takes_bool(leaf: Any) -> bool:
    if get_origin(leaf) is Literal:
        return any(isinstance(choice, bool) for choice in get_args(leaf))
    return leaf in (bool, Any, object)


def _reword(annotation: Any, value: Any, error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=True)
    choices = [choice for each in members(annotation) if get_origin(each) is Literal for choice in get_args(each)]
    if choices and isinstance(value, str):
        return f'expected {describe(annotation)}, got "{value}"{suggestion(value, map(str, choices))}'
    first = details[0]
    if len(details) == 1 and first["type"] not in _KIND_OF_ERROR:
        said = first["msg"].replace("Input should be", "expected a value").replace("Value error, ", "")
        return f"{said[0].lower()}{said[1:]}, got {quoted(value)}"
    return f"expected {describe(annotation)}, got {quoted(value)}"


_KIND_OF_ERROR = {
    f"{name}_{reason}"
    for name in ("int", "float", "string", "bool", "path", "list", "tuple", "dict", "none", "literal")
    for reason in ("type", "parsing", "from_float", "required", "error")
}

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "nothing",
    Path: "a path",
    Any: "anything",
}


def describe(annotation: Any) -> str:
    """Type in words, for messages."""
    alternatives = members(annotation)
    if len(alternatives) > 1:
        return " or ".join(dict.fromkeys(describe(each) for each in alternatives))
    annotation = bare(annotation)
    if get_origin(annotation) is Literal:
        choices = [quoted(choice) for choice in get_args(annotation)]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if deferred_type(annotation) is not None:
        return describe(deferred_type(annotation))
    if is_interface(annotation):
        article = "an" if annotation.kind[0] in "aeiou" else "a"
        return f"{article} {annotation.kind} (a mapping with a type)"
    if is_settings(annotation):
        return f"a mapping {one_of(signature_of(annotation).arguments)}"
    items = item_types(annotation)
    if items is not None:
        container = "a mapping" if items[0] is dict else "a list"
        return container if items[1] is Any else f"{container} of {_plural(items[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {one_of(str(choice.value) for choice in annotation)}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plural(annotation: Any) -> str:
    if isinstance(annotation, tuple):
        return f"{len(annotation)} values"
    words = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths", bool: "truth values"}
    if is_interface(annotation):
        return f"{annotation.kind}s"
    return words.get(bare(annotation), describe(annotation))
