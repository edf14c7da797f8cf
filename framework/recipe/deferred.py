"""Deferred components: built later, elsewhere, or with an environment's spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bfmkit.recipe.node import Node, plain_copy

if TYPE_CHECKING:
    from bfmkit.interfaces import EnvironmentSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Deferred(Generic[T]):
    """Checked node of a recipe that its owner builds later.

    Annotate a constructor's argument ``explorer: Deferred[Explorer]`` and call ``explorer.build(spec)``, as often as
    wanted: each call builds anew. It pickles, so a process that was spawned can build its own.
    """

    node: Node

    @property
    def type(self) -> str:
        """Name of the component."""
        return self.node.tree["type"]

    def to_dict(self) -> dict[str, Any]:
        """Node as the recipe has it: plain mappings, lists, numbers and texts."""
        return plain_copy(self.node.tree)

    def build(self, spec: EnvironmentSpec | None = None) -> T:
        """Component built from the node; ``spec`` goes to every constructor that asks for an ``EnvironmentSpec``.

        Raises:
            RecipeError: with every value that a constructor refuses.
        """
        return cast(T, self.node.build(spec))
