"""Flat layout of observations with several entries.

Entries follow one another sorted by name at every level, whatever order a dictionary has, so that a model trained on
data acts on the same numbers. Every number has a name: ``velocity_0``, or ``height`` where an entry is a single one.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchrl.data import Binary, Categorical, Composite, MultiCategorical, OneHot, TensorSpec

from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.expression import STEP
from bfmkit.rewards.functions import FUNCTIONS

PIXEL_DIMENSIONS = 3
WHOLE = "observation"
"""What an observation that is no dictionary is called."""
Path = tuple[str, ...]
_ELSE = re.compile(r"[\d_]|(action(_\d+)?|own_reward)$")
"""Names that no quantity may have, or that mean the action or the environment's own reward."""


@dataclass(frozen=True)
class ObservationEntry:
    """Entry of an observation: numbers of a shape, or a choice among ``choices``, which becomes one-hot."""

    path: Path
    shape: tuple[int, ...]
    choices: int = 0
    start: int = 0
    """The least value of a choice."""

    @property
    def size(self) -> int:
        """Length in the flat observation."""
        return math.prod(self.shape) * max(self.choices, 1)

    @property
    def names(self) -> list[str]:
        """Name of each number, usable in typed rewards."""
        base = re.sub(r"\W", "_", "_".join(self.path), flags=re.ASCII) or WHOLE
        if _ELSE.match(base):
            base = f"{WHOLE}_{base}"
        if self.size != 1 or base == WHOLE:
            return [f"{base}_{index}" for index in range(self.size)]
        reserved = base in (STEP, *FUNCTIONS) or keyword.iskeyword(base)
        return [f"{base}_0" if reserved else base]

    def flat(self, values: np.ndarray) -> np.ndarray:  # (n, *shape) -> (n, size) float64
        """Numbers of the entry, a row each.

        Raises:
            ValueError: for another shape.
        """
        found = np.asarray(values)
        if found.shape[1:] != self.shape:
            name = ".".join(self.path) or "the observation"
            raise ValueError(f"{name} must be {self.shape}, got {found.shape[1:]}")
        if self.choices:
            chosen = np.arange(self.start, self.start + self.choices)
            found = found[..., None] == chosen
        return found.astype(np.float64).reshape(len(found), self.size)


@dataclass(frozen=True)
class FlatObservation:
    """Entries of a flat observation, in order."""

    entries: tuple[ObservationEntry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number."""
        return tuple(name for entry in self.entries for name in entry.names)

    def flat(self, value: Any) -> np.ndarray:  # nested (n, ...) arrays -> (n, o) float64
        """Flat observations (n, o) of nested dictionaries, tuples and arrays.

        Raises:
            ValueError: for an entry that is missing or has another shape.
        """
        return np.concatenate([entry.flat(_leaf(value, entry.path)) for entry in self.entries], axis=1)


def flat_space(space: Any, keys: Sequence[str] | None, what: str) -> FlatObservation:
    """Layout of a Gymnasium space.

    Args:
        space: of Boxes, Discretes, MultiDiscretes and MultiBinaries, nested in Dicts and Tuples.
        keys: which entries to take, in this order, nested ones with a dot; all of them, sorted, if not given.
        what: the environment or the data, for messages.

    Raises:
        ValueError: for a key that there is not, or an entry that is no fixed number of numbers.
    """
    return _chosen(dict(_space_leaves(space)), keys, what)


def flat_spec(spec: Composite, keys: Sequence[str] | None, what: str) -> FlatObservation:
    """Layout of a TorchRL observation spec; arguments and errors as in :func:`flat_space`."""
    leaves = ((key if isinstance(key, tuple) else (key,), leaf) for key, leaf in spec.items(True, True))
    return _chosen({path: _spec_leaf(path, leaf) for path, leaf in leaves}, keys, what)


def flat_entries(
    shapes: Mapping[Path, tuple[torch.dtype, tuple[int, ...]]], keys: Sequence[str] | None, what: str
) -> FlatObservation:
    """Layout of recorded entries of known types and shapes; arguments and errors as in :func:`flat_space`."""
    leaves: dict[Path, ObservationEntry | str] = {}
    for path, (dtype, shape) in shapes.items():
        pixels = dtype == torch.uint8 and len(shape) >= PIXEL_DIMENSIONS
        leaves[path] = f"pixels {shape}, which need an encoder" if pixels else ObservationEntry(path, shape)
    return _chosen(leaves, keys, what)


def _chosen(leaves: dict[Path, ObservationEntry | str], keys: Sequence[str] | None, what: str) -> FlatObservation:
    paths = sorted(leaves)
    if keys is not None:
        paths = [path for key in keys for path in _below(key, paths, what)]
    for path in paths:
        entry = leaves[path]
        if isinstance(entry, str):
            others = [".".join(other) for other in sorted(leaves) if not isinstance(leaves[other], str)]
            remedy = f"; observation_keys takes others ({', '.join(others)})" if others else ""
            raise ValueError(f"{what} observes no fixed number of numbers: {'.'.join(path) or 'it'} is {entry}{remedy}")
    layout = FlatObservation(tuple(leaves[path] for path in paths))  # type: ignore[misc]
    if not layout.names:
        raise ValueError(f"{what} observes nothing")
    twice = {name for name in layout.names if layout.names.count(name) > 1}
    if twice:
        raise ValueError(f"{what} observes more than one number called {sorted(twice)[0]}; observation_keys takes some")
    return layout


def _below(key: str, paths: Sequence[Path], what: str) -> list[Path]:
    wanted = tuple(key.split("."))
    found = [path for path in paths if (path or (WHOLE,))[: len(wanted)] == wanted]
    if not found:
        names = [".".join(path) or WHOLE for path in paths]
        raise ValueError(f'{what} observes no "{key}"{suggestion(key, names)} {one_of(names)}')
    return found


def _leaf(value: Any, path: Path) -> np.ndarray:
    for name in path:
        try:
            value = value[int(name)] if isinstance(value, tuple | list) else value[name]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the observation has no entry {'.'.join(path)}") from error
    return np.asarray(value)


def _space_leaves(space: Any, path: Path = ()) -> list[tuple[Path, ObservationEntry | str]]:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return [leaf for name, inner in space.spaces.items() for leaf in _space_leaves(inner, (*path, str(name)))]
    if isinstance(space, spaces.Tuple):
        return [leaf for index, inner in enumerate(space.spaces) for leaf in _space_leaves(inner, (*path, str(index)))]
    return [(path, _space_leaf(space, path))]


def _space_leaf(space: Any, path: Path) -> ObservationEntry | str:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return ObservationEntry(path, (), int(space.n), int(space.start))
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= PIXEL_DIMENSIONS:
        return f"pixels {space.shape}, which need an encoder"
    if isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        return ObservationEntry(path, tuple(space.shape))
    return f"of kind {type(space).__name__}"


def _spec_leaf(path: Path, spec: TensorSpec) -> ObservationEntry | str:
    shape = tuple(spec.shape)
    if any(length < 0 for length in shape):
        return f"of changing shape {shape}"
    if isinstance(spec, Categorical) and not isinstance(spec, MultiCategorical | Binary):
        return ObservationEntry(path, shape, int(spec.n))
    if str(spec.dtype) == "torch.uint8" and len(shape) >= PIXEL_DIMENSIONS and not isinstance(spec, OneHot | Binary):
        return f"pixels {shape}, which need an encoder"
    if not hasattr(spec, "dtype") or spec.dtype is None:
        return f"of kind {type(spec).__name__}"
    return ObservationEntry(path, shape)
