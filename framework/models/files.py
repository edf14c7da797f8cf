"""Files of a model folder: safetensors and text, nothing that runs code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

SAFE = ("*.safetensors", "*.json", "*.yaml", "*.md", "*.txt", "LICENSE")
"""What is ever fetched or sent, as patterns; of these, the files of models that are known by name are read."""

_SUFFIXES = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"


def refuse_pickles(folder: Path) -> None:
    """Raise if a folder holds a pickle at any depth, by its name or first bytes.

    Nothing is unpickled to find out. Folders that are links are not followed: what is read of a model lies beside its
    recipe.

    Raises:
        ValueError: naming the file.
    """
    for file in _files(folder):
        if file.is_file() and (file.suffix.lower() in _SUFFIXES or _begins_like_one(file)):
            raise ValueError(
                f"{file} may be a pickle, which runs code when it is read; models are safetensors and text alone"
            )


def _files(folder: Path) -> Iterator[Path]:
    for inside, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(inside) / name for name in sorted(names))


def _begins_like_one(file: Path) -> bool:
    with file.open("rb") as handle:
        begins = handle.read(len(_ZIP))
    if begins != _ZIP:
        return begins[:1] == _PICKLE and begins[1:2] <= b"\x05"
    try:
        with ZipFile(file) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except BadZipFile:
        return True
