"""Experiments of a benchmark, with the last model and environment reused."""

from __future__ import annotations

from typing import Any

from bfmkit.inference.experiment import Experiment
from bfmkit.interfaces import Job
from bfmkit.recipe import check_node
from bfmkit.recipe.node import Node
from bfmkit.recipe.yaml_text import write
from bfmkit.registry import constructor_parameters

EXPERIMENT = {parameter.name for parameter in constructor_parameters(Experiment)} - {"bfm", "environment"}


class Workbench:
    """Keeps one model and one environment: recipes mostly share both, and building them takes a second."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Any]] = {}

    def experiment(self, tree: dict[str, Any], root: Node | None = None, **settings: Any) -> Experiment:
        """The experiment that a resolved inference recipe says, with some of its settings replaced.

        Args:
            tree: the recipe.
            root: the same, checked; it is checked here if not given.
            settings: arguments of the experiment.

        Raises:
            RecipeError: with what a constructor refuses.
            ValueError: if parts do not fit each other.
        """
        arguments = (root or check_node(Job, tree, "recipe")).arguments
        agents = {
            name: arguments[name].build() for name in ("agent", "oracle", "floor") if arguments.get(name) is not None
        }
        plain = {name: value for name, value in arguments.items() if name in EXPERIMENT - {*agents}}
        return Experiment(
            bfm=self._build("bfm", arguments["bfm"]),
            environment=self._build("environment", arguments["environment"]),
            **agents,
            **{**plain, **settings},
        )

    def _build(self, name: str, node: Node) -> Any:
        text = write(node.tree)
        if self._kept.get(name, ("", None))[0] != text:
            # The old one goes before the new one comes: there may not be room for two.
            self._kept.pop(name, None)
            self._kept[name] = (text, node.build())
        return self._kept[name][1]
