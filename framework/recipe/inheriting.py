"""Inheritance of recipes (``extends``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bfmkit.recipe.merging import Layers
from bfmkit.recipe.problems import refuse
from bfmkit.recipe.sources import label, locate
from bfmkit.recipe.yaml_text import YamlError, read
from bfmkit.registry.messages import quoted

SCHEMA_VERSION = 1


def gather(path: Path) -> Layers:
    """Files of a recipe: what it extends, the most basic first, then itself.

    Raises:
        RecipeError: if one of the files cannot be read, is no mapping, has another schema version, or if they
            extend each other in a circle.
    """
    files: list[tuple[dict[str, Any], str]] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        here = following.resolve()
        name = label(following)
        if here in seen:
            circle = " -> ".join(label(each) for each in [*seen[seen.index(here) :], here])
            raise refuse(label(seen[-1]), "extends", f"a recipe cannot inherit from itself ({circle})")
        seen.append(here)
        tree = read_file(following)
        _check_version(tree.pop("schema_version", SCHEMA_VERSION), name)
        base = tree.pop("extends", None)
        if base is not None and not isinstance(base, str):
            raise refuse(name, "extends", f"expected the name or file of one recipe, got {quoted(base)}")
        files.append((tree, name))
        following = None if base is None else locate(base, following.parent, (name, "extends"))
    layers = Layers()
    for tree, name in reversed(files):
        layers.lay(tree, name)
    return layers


def read_file(path: Path) -> dict[str, Any]:
    """Content of one file, without what it extends.

    Raises:
        RecipeError: if it cannot be read, or holds no mapping.
    """
    name = label(path)
    try:
        value = read(path.read_text(encoding="utf-8"))
    except YamlError as error:
        raise refuse(name, f"line {error.line}" if error.line else "", str(error)) from error
    except UnicodeDecodeError as error:
        raise refuse(name, "", f"not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise refuse(name, "", f"cannot be read: {error.strerror}") from error
    if value is None:
        raise refuse(name, "", "the file is empty; a recipe starts with `type: JOB` or `extends: RECIPE`")
    if not isinstance(value, dict):
        raise refuse(name, "", f"expected a mapping that starts with `type: JOB`, got {quoted(value)}")
    return value


def _check_version(version: Any, name: str) -> None:
    if version == SCHEMA_VERSION and not isinstance(version, bool):
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    advice = "; it needs a newer bfmkit" if newer else ""
    raise refuse(name, "schema_version", f"expected {SCHEMA_VERSION}, got {quoted(version)}{advice}")
