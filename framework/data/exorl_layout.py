"""Episodes in the layout of ExORL: ``DOMAIN/ALGORITHM/buffer/episode_INDEX_LENGTH.npz``.

A file holds T + 1 rows for T = LENGTH steps. Row 0 is the reset: it has no action and no reward. Row t holds the action
that *led to* observation t, so the transitions are

    s = observation[t−1],   a = action[t],   s' = observation[t],   physics' = physics[t],   t = 1 … T

Reference:
    Yarats et al., Don't change the algorithm, change the data, 2022.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.data.conversion import DataError, Piece
from bfmkit.data.shards import empty_transitions
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.utils.files import write_atomically

BUFFER = "buffer"
_NAME = re.compile(r"episode_(\d+)_(\d+)\.npz")
_TYPES = {"observation": np.float32, "action": np.float32, "physics": np.float64, "discount": np.float64}
"""What is read of a file, and as what; a memory map has observations and actions in float32."""


@dataclass(frozen=True, order=True)
class EpisodeFile:
    """Episode file: number and length, as its name says them."""

    index: int
    length: int
    path: Path


def buffer_folder(path: Path) -> Path:
    """Folder with the episodes of ``DOMAIN/ALGORITHM``, or of a buffer itself."""
    return path / BUFFER if (path / BUFFER).is_dir() else path


def episode_files(folder: Path) -> list[EpisodeFile]:
    """Episode files of a buffer, in the order of their numbers.

    Raises:
        FileNotFoundError: if there are none.
        DataError: if two files are the same episode, or one has a name of another form.
    """
    found = []
    for path in folder.glob("*.npz"):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise DataError(f"{path}: not the name of an episode, which is episode_INDEX_LENGTH.npz")
        found.append(EpisodeFile(int(match[1]), int(match[2]), path))
    if not found:
        raise FileNotFoundError(f"no episodes (episode_INDEX_LENGTH.npz) in {folder}")
    found.sort()
    for one, other in pairwise(found):
        if one.index == other.index:
            raise DataError(f"{other.path}: episode {one.index} is there twice, in {one.path.name} too")
    return found


def episode_pieces(files: Sequence[EpisodeFile], spec: EnvironmentSpec) -> list[Piece]:
    """Pieces of a conversion, one an episode file."""
    return [_piece(file, spec) for file in files]


def _piece(file: EpisodeFile, spec: EnvironmentSpec) -> Piece:
    try:
        status = file.path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
    except OSError:  # gone, or a link to nothing: reading it will say so, where it can be skipped and counted
        size = mtime_ns = 0
    return Piece(file.path.name, size, file.length, partial(read_episode, file, spec), mtime_ns)


def row_sizes(file: EpisodeFile) -> tuple[int, int, int]:
    """Sizes of observation, action and physics in one file.

    Raises:
        DataError: if it cannot be read.
    """
    arrays = _arrays(file.path, _content(file.path))
    o, a, p = (math.prod(arrays[name].shape[1:]) for name in ("observation", "action", "physics"))
    return o, a, p


def read_episode(file: EpisodeFile, spec: EnvironmentSpec) -> tuple[TensorDict, str]:  # batch (T,), and the SHA-256
    """Transitions of one file, and its checksum.

    Raises:
        DataError: if it is truncated, misses a key, has another shape than ``spec`` says, or holds what is not finite
        in
            the memory map's types.
    """
    if file.length < 1:
        raise DataError(f"{file.path}: an episode of no steps")
    data = _content(file.path)
    arrays = _arrays(file.path, data)
    rows = file.length + 1
    sizes = {"observation": spec.observation_size, "action": spec.action_size, "physics": spec.physics_size}
    for name, array in arrays.items():
        if len(array) != rows:
            raise DataError(f"{file.path}: {name} has {len(array)} rows; {file.length} steps take {rows}")
        size = sizes.get(name, 1)
        if array.reshape(rows, -1).shape[1] != size:
            raise DataError(
                f"{file.path}: {name} has {array.reshape(rows, -1).shape[1]} numbers a row, and {spec.domain} has "
                f"{size}; is it an episode of another domain?"
            )
        with np.errstate(over="ignore"):
            arrays[name] = array.astype(_TYPES[name])
        bad = ~np.isfinite(arrays[name].reshape(rows, -1)).all(axis=1)
        # The reset row's action was never taken; everything else is used.
        bad[0] &= name == "observation"
        if bad.any():
            row = int(bad.argmax())
            what = f"too large for {arrays[name].dtype}" if np.isfinite(array[row]).all() else "not finite"
            raise DataError(f"{file.path}: {name} is {what} in row {row}")
    return _transitions(arrays, file.length, spec), hashlib.sha256(data).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            stored = [name.removesuffix(".npy") for name in archive.namelist()]
            missing = [name for name in _TYPES if name not in stored]
            if missing:
                raise DataError(f"{path}: it has no {', '.join(missing)} (only {', '.join(stored) or 'nothing'})")
            for name in _TYPES:
                # All of an entry, which compares its checksum, before a damaged header is believed: numpy would make
                # room for whatever shape it says.
                entry = io.BytesIO(archive.read(f"{name}.npy"))
                arrays[name] = np.lib.format.read_array(entry, allow_pickle=False)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # of zipfile, zlib, struct, tokenize, ast and numpy: nobody lists what damage can raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: truncated or damaged: {reason}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or array.ndim == 0:
            raise DataError(f"{path}: {name} holds no numbers ({array.dtype})")
    return arrays


def _transitions(arrays: dict[str, np.ndarray], length: int, spec: EnvironmentSpec) -> TensorDict:
    episode = empty_transitions(spec, length)
    observation = torch.from_numpy(arrays["observation"]).reshape(length + 1, -1)
    episode["observation"].copy_(observation[:-1])
    episode["action"].copy_(torch.from_numpy(arrays["action"]).reshape(length + 1, -1)[1:])
    episode["next", "observation"].copy_(observation[1:])
    episode["next", "physics"].copy_(torch.from_numpy(arrays["physics"]).reshape(length + 1, -1)[1:])
    episode["next", "terminated"].copy_(torch.from_numpy(arrays["discount"]).reshape(-1)[1:] == 0)
    # Time is up where the file ends, if nothing else ended it.
    episode["next", "truncated"][-1] = not episode["next", "terminated"][-1]
    return episode


def write_episode(
    folder: Path,
    index: int,
    transitions: TensorDictBase,  # batch (T,)
    reward: torch.Tensor | None = None,  # (T,); zeros if not given
) -> Path:
    """Write one episode atomically; returns its file.

    The physics of the reset was not recorded; its row repeats that of the first step.
    """
    steps = len(transitions)
    following = transitions["next"]

    def rows(first: torch.Tensor, rest: torch.Tensor) -> np.ndarray:
        return torch.cat([first, rest]).numpy()

    action, physics = transitions["action"], following["physics"]
    discount = (~following["terminated"]).float().unsqueeze(-1)
    rewards = torch.zeros(steps) if reward is None else reward.float()
    arrays: dict[str, Any] = {
        "observation": rows(transitions["observation"][:1], following["observation"]),
        "action": rows(torch.zeros_like(action[:1]), action),
        "reward": rows(torch.zeros(1, 1), rewards.unsqueeze(-1)),
        "discount": rows(torch.ones(1, 1), discount),
        "physics": rows(physics[:1], physics),
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    path = folder / f"episode_{index:06d}_{steps}.npz"
    write_atomically(path, content.getvalue())
    return path
