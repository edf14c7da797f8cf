"""Folders of the Meta Motivo format: their files and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bfmkit.models.files import refuse_pickles

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MODELS = ("simple", "residual")


class Config:
    """``config.json``, asked for by path, with messages that name the file and the path.

    Args:
        file: the file.

    Raises:
        ValueError: if it is not JSON.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._tree = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is damaged: {error}") from error

    def number(self, path: str, least: int = 1) -> int:
        """A whole number, at least ``least``."""
        value = self._at(path)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{self._file}: {path} must be a whole number, at least {least}, got {value!r}")
        return value

    def flag(self, path: str) -> bool:
        """True or false."""
        value = self._at(path)
        if not isinstance(value, bool):
            raise ValueError(f"{self._file}: {path} must be true or false, got {value!r}")
        return value

    def word(self, path: str, known: tuple[str, ...]) -> str:
        """One of the words that are known here."""
        value = self._at(path)
        if value not in known:
            raise ValueError(f"{self._file}: {path} is {value!r}; known here: {', '.join(known)}")
        return value

    def _at(self, path: str) -> Any:
        tree: Any = self._tree
        for key in path.split("."):
            if not isinstance(tree, Mapping) or key not in tree:
                raise ValueError(f"{self._file}: there is no {path}")
            tree = tree[key]
        return tree


def read_folder(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and tensors.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: if a file is damaged, or there is a pickle.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no model folder in the Meta Motivo format: it has no {name}")
    refuse_pickles(folder)
    try:
        return Config(folder / CONFIG), load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: {error}") from error
