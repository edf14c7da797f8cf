"""Problems of a recipe, one line each, reported together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bfmkit.utils.errors import RefusedError


@dataclass(frozen=True)
class Problem:
    """Problem of a recipe: file, path in the tree, message."""

    file: str
    path: str  # "agent.posterior.type"; empty for the file as a whole
    message: str
    missing_file: bool = False
    """Whether it may go away by itself once another job has written the file."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.message) if part)


class RecipeError(RefusedError, ValueError):
    """Error of a refused recipe; ``problems`` lists every reason, and the text has a line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


def refuse(file: str, path: str, message: str) -> RecipeError:
    """Error of a single problem."""
    return RecipeError([Problem(file, path, message)])
