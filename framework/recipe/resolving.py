"""Interpolation of ``${path.to.key}``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bfmkit.recipe.merging import Layers
from bfmkit.recipe.problems import Problem
from bfmkit.registry.messages import suggestion

_KEY = re.compile(r"\$\{\s*\.*[A-Za-z_][\w.]*\s*\}")


def interpolate(layers: Layers) -> tuple[dict[str, Any], list[Problem]]:
    """Tree with every ``${path.to.key}`` replaced by the value there, and the problems (left as they were).

    OmegaConf does the replacing, but only plain keys reach it: none of its resolvers (``${oc.env:...}`` and the like)
    may run, for a recipe reads nothing but itself.
    """
    places = [(path, text) for path, text in _strings(layers.tree, ()) if "${" in text]
    if not places:
        return layers.tree, []
    problems = [
        Problem(layers.source_of(path), ".".join(path), f'"{text}": only ${{path.to.key}} of this recipe is allowed')
        for path, text in places
        if "${" in _KEY.sub("", text)
    ]
    if problems:
        return layers.tree, problems

    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

    config = OmegaConf.create(layers.tree)
    tree = OmegaConf.to_container(config, resolve=False)
    for path, text in places:
        try:
            node: Any = config
            for key in path:
                node = node[int(key)] if isinstance(node, ListConfig) else node[key]
            if isinstance(node, DictConfig | ListConfig):
                node = OmegaConf.to_container(node, resolve=True)
        except InterpolationKeyError:
            keys = [".".join(each) for each, _ in _paths(layers.tree, ())]
            wanted = re.sub(r"[${}\s]", "", text)
            message = f'"{text}": this recipe says nothing of the kind{suggestion(wanted, keys)}'
            problems.append(Problem(layers.source_of(path), ".".join(path), message))
        except (OmegaConfBaseException, RecursionError) as error:
            reason = "it leads back to itself" if "ecursi" in str(error) else str(error).split("\n")[0]
            problems.append(Problem(layers.source_of(path), ".".join(path), f'"{text}": {reason}'))
        else:
            _put(tree, path, node)
    return tree, problems  # type: ignore[return-value]


def _paths(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, str(key)), item
        yield from _paths(item, (*path, str(key)))


def _strings(tree: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    return [(where, value) for where, value in _paths(tree, path) if isinstance(value, str)]


def _put(tree: Any, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    tree[int(path[-1]) if isinstance(tree, list) else path[-1]] = value
