"""Nodes: a class and the checked arguments it is built with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bfmkit.recipe.problems import Problem, RecipeError

if TYPE_CHECKING:
    from bfmkit.interfaces import EnvironmentSpec


def plain_copy(value: Any) -> Any:
    """Mappings and lists copied all the way down; paths as text."""
    if isinstance(value, dict):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


@dataclass(frozen=True)
class Node:
    """Checked node of a recipe: a class and its arguments. Pickles by reference to the class."""

    cls: type
    arguments: dict[str, Any]  # checked; nested nodes are Node or Deferred
    tree: dict[str, Any] = field(repr=False)  # as the recipe has it
    file: str = ""
    path: str = ""
    spec_argument: str | None = None
    """The constructor's argument that takes the environment's spec, if it asks for it."""

    def build(self, spec: EnvironmentSpec | None = None) -> Any:
        """Instance of the class, with all nested nodes built.

        Raises:
            RecipeError: with every value that a constructor refuses (ValueError) or file it misses (OSError).
        """
        problems: list[Problem] = []
        built = _build(self, spec, problems)
        if problems:
            raise RecipeError(problems)
        return built


_FAILED = object()


def _build(value: Any, spec: EnvironmentSpec | None, problems: list[Problem]) -> Any:
    """Build bottom-up; a part that fails leaves a problem and ``_FAILED``, and so does all that contains it."""
    if isinstance(value, Node):
        arguments = {key: _build(item, spec, problems) for key, item in value.arguments.items()}
        if any(item is _FAILED for item in arguments.values()):
            return _FAILED
        return _construct(value, arguments, spec, problems)
    if isinstance(value, list | tuple):
        items = [_build(item, spec, problems) for item in value]
        return _FAILED if any(item is _FAILED for item in items) else type(value)(items)
    if isinstance(value, dict):
        pairs = {key: _build(item, spec, problems) for key, item in value.items()}
        return _FAILED if any(item is _FAILED for item in pairs.values()) else pairs
    return value


def _construct(node: Node, arguments: dict[str, Any], spec: EnvironmentSpec | None, problems: list[Problem]) -> Any:
    if node.spec_argument is not None:
        arguments = {**arguments, node.spec_argument: spec}
    try:
        return node.cls(**arguments)
    except RecipeError as error:
        parts = [part.node.path for part in arguments.values() if isinstance(getattr(part, "node", None), Node)]
        if all(any(f"{problem.path}.".startswith(f"{path}.") for path in parts) for problem in error.problems):
            problems += error.problems  # a deferred part that the constructor built says itself where it stands
        else:  # a stored recipe inside this one, e.g. a checkpoint's
            problems.append(Problem(node.file, node.path, "; ".join(map(str, error.problems))))
    except FileNotFoundError as error:
        message = f"there is no file {error.filename}" if error.filename else str(error)
        problems.append(Problem(node.file, node.path, message, missing_file=True))
    except (ValueError, OSError) as error:
        problems.append(Problem(node.file, node.path, str(error).replace("\n", " ")))
    return _FAILED
