"""The models that ship with bfmkit: a folder each, data and no code."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

PREFIX = "zoo:"


def names() -> list[str]:
    """The shipped models."""
    return sorted(folder.name for folder in Path(__file__).parent.iterdir() if (folder / "model.safetensors").exists())


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
