"""Files of observations, with labels or without."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bfmkit.registry.messages import one_of

NAMES = ("observation", "reward", "action", "previous_observation")


def read_tensors(path: Path, wanted: tuple[str, ...]) -> dict[str, Tensor]:
    """Arrays of a ``.npz`` or ``.safetensors`` file, by name.

    Args:
        path: of the file; no pickle in it is opened.
        wanted: names that must be there; others of :data:`NAMES` may be.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind, damaged, lacks a name or holds an unknown one, or arrays of different
            lengths.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{path}: observations come in a .npz or a .safetensors file")
    try:
        if path.suffix == ".npz":
            # Opened here: NumPy forgets to close a file that it cannot read.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays}
        else:
            found = load_file(path)
    except (SafetensorError, BadZipFile, OSError, ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{path}: damaged, or no file of numbers: {error}") from error
    unknown, missing = sorted(set(found) - set(NAMES)), [name for name in wanted if name not in found]
    if unknown or missing:
        what = f'has no "{missing[0]}"' if missing else f'has "{unknown[0]}", which means nothing here'
        raise ValueError(f"{path}: {what} {one_of(NAMES)}")
    lengths = {name: len(value) if value.ndim else 0 for name, value in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: arrays of different lengths: {lengths}")
    return found
