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
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.data.conversion import BadData, Piece
from bfmkit.data.shards import empty_transitions
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.run_directory import write_atomically

BUFFER = "buffer"
_NAME = re.compile(r"episode_(\d+)_(\d+)\.npz")
_KEYS = ("observation", "action", "physics", "discount")


@dataclass(frozen=True, order=True)
class EpisodeFile:
    """A file by its name: which episode, and how many steps it says it has."""

    index: int
    length: int
    path: Path


def buffer_folder(path: Path) -> Path:
    """The folder that holds the episodes of ``DOMAIN/ALGORITHM``, or of a buffer itself."""
    return path / BUFFER if (path / BUFFER).is_dir() else path


def episode_files(folder: Path) -> list[EpisodeFile]:
    """The episodes of a buffer, by their number: not in the order that the file system happens to give.

    Raises:
        FileNotFoundError: if there are none.
        BadData: if two files are the same episode, or one has a name of another form.
    """
    found = []
    for path in folder.glob("*.npz"):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise BadData(f"{path}: not the name of an episode, which is episode_INDEX_LENGTH.npz")
        found.append(EpisodeFile(int(match[1]), int(match[2]), path))
    if not found:
        raise FileNotFoundError(f"no episodes (episode_INDEX_LENGTH.npz) in {folder}")
    found.sort()
    for one, other in pairwise(found):
        if one.index == other.index:
            raise BadData(f"{other.path}: episode {one.index} is there twice, in {one.path.name} too")
    return found


def episode_pieces(files: Sequence[EpisodeFile], spec: EnvironmentSpec) -> list[Piece]:
    """The episodes as something to convert."""
    return [
        Piece(file.path.name, file.path.stat().st_size, file.length, partial(read_episode, file, spec))
        for file in files
    ]


def read_episode(file: EpisodeFile, spec: EnvironmentSpec) -> tuple[TensorDict, str]:  # batch (T,), and the SHA-256
    """The transitions of one file, and its checksum.

    Raises:
        BadData: if it is truncated, misses a key, has another shape than ``spec`` says, or holds what is not finite.
    """
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise BadData(f"{file.path}: cannot be read: {error.strerror}") from error
    arrays = _arrays(file.path, data)
    rows = file.length + 1
    sizes = {"observation": spec.observation_size, "action": spec.action_size, "physics": spec.physics_size}
    for name, array in arrays.items():
        if len(array) != rows:
            raise BadData(f"{file.path}: {name} has {len(array)} rows; {file.length} steps take {rows}")
        size = sizes.get(name, 1)
        if array.reshape(rows, -1).shape[1] != size:
            raise BadData(
                f"{file.path}: {name} has {array.reshape(rows, -1).shape[1]} numbers a row, and {spec.domain} has "
                f"{size}; is it an episode of another domain?"
            )
        bad = ~np.isfinite(array.reshape(rows, -1)).all(axis=1)
        # The reset row's action was never taken; everything else is used.
        bad[0] &= name == "observation"
        if bad.any():
            raise BadData(f"{file.path}: {name} is not finite in row {int(bad.argmax())}")
    return _transitions(arrays, file.length, spec), hashlib.sha256(data).hexdigest()


def _arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            missing = [name for name in _KEYS if name not in stored.files]
            if missing:
                raise BadData(f"{path}: it has no {', '.join(missing)} (only {', '.join(stored.files) or 'nothing'})")
            arrays = {name: stored[name] for name in _KEYS}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, AttributeError) as error:
        if isinstance(error, BadData):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadData(f"{path}: truncated or damaged: {reason}") from error
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number) or array.ndim == 0:
            raise BadData(f"{path}: {name} holds no numbers ({array.dtype})")
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
    """Write one episode, whole or not at all, and give its file.

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
