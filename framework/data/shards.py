"""Transitions on disk: shards of whole episodes in TensorDict memory maps.

    dataset/
      spec.json            the environment the data came from
      shard-000/           TensorDict memory map, as long as its capacity
      shard-000.json       {"transitions": how many of them are written}

The count is replaced only after the transitions are on disk, so a process killed at any moment loses none of what the
count says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.interfaces import EnvironmentSpec

SPEC_FILE = "spec.json"


def empty_transitions(spec: EnvironmentSpec, rows: int) -> TensorDict:  # batch (rows,)
    """Transitions of zeros, with all keys of a dataset."""
    o = spec.observation_size
    following = TensorDict(
        {
            "observation": torch.zeros(rows, o),
            "physics": torch.zeros(rows, spec.physics_size, dtype=torch.float64),
            "terminated": torch.zeros(rows, dtype=torch.bool),
            "truncated": torch.zeros(rows, dtype=torch.bool),
        },
        [rows],
    )
    return TensorDict(
        {"observation": torch.zeros(rows, o), "action": torch.zeros(rows, spec.action_size), "next": following}, [rows]
    )


def claim(folder: Path, spec: EnvironmentSpec) -> None:
    """Make ``folder`` a dataset of ``spec``, or check that it is one.

    Raises:
        ValueError: if it holds data of another domain.
    """
    file = folder / SPEC_FILE
    if file.exists():
        spec.require_compatible(read_spec(folder), f"the dataset {folder}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    _replace(file, json.dumps(spec.to_dict(), indent=1))


def read_spec(folder: Path) -> EnvironmentSpec:
    """Spec of the dataset in ``folder``.

    Raises:
        FileNotFoundError: if there is no dataset.
        ValueError: if its spec cannot be read.
    """
    file = folder / SPEC_FILE
    if not file.exists():
        raise FileNotFoundError(f"no dataset in {folder} (no {SPEC_FILE}); a run of a collect recipe leaves one")
    try:
        return EnvironmentSpec.from_dict(json.loads(file.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


def shard_names(folder: Path) -> list[str]:
    """Names of the shards in ``folder``, in order."""
    return sorted(file.stem for file in folder.glob("shard-*.json"))


def read_shard(folder: Path, name: str) -> TensorDictBase:  # batch (n,)
    """Written part of one shard, memory-mapped.

    Raises:
        ValueError: if the shard is damaged; the message names it.
    """
    try:
        return TensorDict.load_memmap(folder / name)[: _read_count(folder / f"{name}.json")]
    except (OSError, RuntimeError) as error:
        raise ValueError(f"shard {folder / name} is damaged: {error}") from error


def _read_count(file: Path) -> int:
    try:
        return int(json.loads(file.read_text())["transitions"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error


class ShardWriter:
    """Writer that appends transitions to one shard; continues where an earlier writer stopped.

    Args:
        folder: the dataset, claimed for ``spec``.
        name: of the shard.
        spec: the environment.
        capacity: transitions the shard can hold; space is taken as it fills.
    """

    def __init__(self, folder: Path, name: str, spec: EnvironmentSpec, capacity: int) -> None:
        self._count_file = folder / f"{name}.json"
        self.count = 0
        if self._count_file.exists():
            self._store = TensorDict.load_memmap(folder / name)
            self.count = _read_count(self._count_file)
            if len(self._store) < capacity:
                raise ValueError(
                    f"shard {folder / name} has room for {len(self._store)} transitions, {capacity} are wanted; "
                    "collect into a new folder"
                )
        else:
            row = empty_transitions(spec, 1)
            self._store = row.expand(capacity).memmap_like(folder / name)
            self._commit()

    def append(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Append n transitions, all or none.

        Raises:
            ValueError: if they do not fit.
        """
        end = self.count + len(transitions)
        if end > len(self._store):
            raise ValueError(f"the shard has room for {len(self._store) - self.count} more, got {len(transitions)}")
        self._store[self.count : end].update_(transitions)
        self.count = end
        self._commit()

    def rewind(self, count: int) -> None:
        """Drop all but the first ``count`` transitions.

        Raises:
            ValueError: if fewer are written.
        """
        if count > self.count:
            raise ValueError(f"the shard holds {self.count} transitions, {count} were to be kept")
        self.count = count
        self._commit()

    def written(self) -> TensorDictBase:  # batch (count,)
        """Transitions written so far."""
        return self._store[: self.count]

    def _commit(self) -> None:
        _replace(self._count_file, json.dumps({"transitions": self.count}))


def _replace(file: Path, text: str) -> None:
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, file)
