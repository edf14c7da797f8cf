"""Shipped models: a folder each, data and no code."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bfmkit.recipe.yaml_text import read

PREFIX = "zoo:"


def names() -> list[str]:
    """The shipped models."""
    return sorted(folder.name for folder in Path(__file__).parent.iterdir() if (folder / "model.safetensors").exists())


def recipe(name: str) -> dict[str, Any]:
    """What builds a shipped model: its BFM, objective and ``spec``."""
    return read((Path(__file__).parent / name / "recipe.yaml").read_text(encoding="utf-8"))


def of_domain(domain: str) -> list[str]:
    """The shipped models of a body."""
    return [name for name in names() if recipe(name)["spec"]["domain"] == domain]


def resolve(path: str) -> Path:
    """The folder of the model ``zoo:NAME``.

    Raises:
        FileNotFoundError: for a model that the zoo does not have.
    """
    name = path.removeprefix(PREFIX)
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        raise FileNotFoundError(f"the zoo has no model {name!r}{hint} ({', '.join(names()) or 'it is empty'})")
    return Path(__file__).parent / name
