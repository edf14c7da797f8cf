"""Datasets that TorchRL brings, by their names."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.data.conversion import DataError, Piece
from bfmkit.data.converted_dataset import ConvertedDataset, require_finite
from bfmkit.data.shards import empty_transitions
from bfmkit.environments.action_scale import BoundedActions
from bfmkit.environments.adapted import adapted_spec
from bfmkit.environments.flat_observation import FlatObservation, flat_entries
from bfmkit.interfaces import Dataset, EnvironmentSpec
from bfmkit.registry import register
from bfmkit.registry.messages import suggestion

MODULE = "torchrl.data.datasets"
READ_AT_ONCE = 100_000


@register(Dataset, "torchrl")
class TorchRLDataset(ConvertedDataset):
    """A replay buffer of ``torchrl.data.datasets`` by its class, such as ``D4RLExperienceReplay``.

    The first use converts it into a memory map. Observations are laid out as in environments of other libraries:
    entries sorted by name. There is no physics in these data: what stands for it is the next observation and the reward
    that came with it, 0 where the data have none, so the task is ``own_reward``, and rewards may be typed over the
    entries of observation and action.

    Args:
        name: of the class: ``D4RLExperienceReplay``, ``LeRobotExperienceReplay``, ``MinariExperienceReplay``, ...
        arguments: of its constructor, e.g. ``{dataset_id: walker2d-medium-v2}``; ``batch_size`` is not needed.
        domain: the spec's; class and id if not given. Data of different domains never mix.
        action_bounds: what -1 and 1 stand for in every entry of the actions; they lie in [-1, 1] if not given.
        cache: where the memory map is put; ``data/torchrl/CLASS(ID)`` if not given.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of them,
            sorted by name, if not given.
        skip_corrupt: leave out episodes that are not finite, instead of stopping at the first.

    Raises:
        ValueError: if there is no such class, it cannot be made, it made nothing of the data, its observations are no
            fixed number of numbers, or there are no two action bounds.
        JobError: on first use, naming the episode that cannot be used, or if the disk is too small.

    Example:
        ``dataset: {type: torchrl, name: D4RLExperienceReplay, arguments: {dataset_id: walker2d-medium-v2}}``
    """

    def __init__(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        domain: str | None = None,
        action_bounds: tuple[float, float] = (-1.0, 1.0),
        cache: Path | None = None,
        observation_keys: list[str] | None = None,
        skip_corrupt: bool = False,
    ) -> None:
        low, high = action_bounds
        if not low < high:
            raise ValueError(f"action_bounds must be two numbers, the lower one first, got {list(action_bounds)}")
        self._given = (name, arguments, domain, action_bounds, cache, observation_keys, skip_corrupt)
        own_name = f"{name}({_identity(arguments or {})})"
        self._name = domain or own_name
        super().__init__(self._name, cache or Path("data", "torchrl", own_name.replace("/", "_")), skip_corrupt)
        self._source = _made(name, arguments or {})
        first = self._source[:1]
        if not any(value.any() for value in self._source[:READ_AT_ONCE].values(True, True)):
            raise ValueError(
                f"{self._name} is empty: all that TorchRL made of it is zero, as its MinariExperienceReplay does in "
                "0.14; datasets of Minari are read by {type: minari, id: ...}"
            )
        leaves = {_path(key): value for key, value in _observations(first).items(True, True)}
        shapes = {path: (value.dtype, tuple(value.shape[1:])) for path, value in leaves.items()}
        self._observation: FlatObservation = flat_entries(shapes, observation_keys, self._name)
        size = first["action"].shape[1:].numel()
        self._actions = BoundedActions(np.full(size, low), np.full(size, high))
        self._action_bounds = action_bounds
        self.spec = self._read_spec()

    def _settings(self) -> dict[str, Any]:
        name, arguments, _, action_bounds, _, observation_keys, _ = self._given
        return {
            "name": name,
            "arguments": {key: str(value) for key, value in (arguments or {}).items()},
            "action_bounds": list(action_bounds),
            "observation_keys": observation_keys,
        }

    def _read_spec(self) -> EnvironmentSpec:
        longest = int((self._ends - np.concatenate([[-1], self._ends[:-1]])).max())
        return adapted_spec(self._name, self._observation.names, self._actions.size, longest)

    @cached_property
    def _ends(self) -> np.ndarray:  # (m,) the last row of each episode
        """Where ``done`` says so, another episode's number follows, or the data end."""
        ends = [np.array([len(self._source) - 1])]
        for start in range(0, len(self._source), READ_AT_ONCE):
            # One row more, to see whether the piece's last episode goes on.
            piece = self._source[start : start + READ_AT_ONCE + 1]
            last = piece["next", "done"].reshape(len(piece), -1).any(-1)
            for key in ("episode", "episode_index", ("collector", "traj_ids")):
                number = piece.get(key, None)
                if number is not None:
                    number = number.reshape(len(piece), -1)[:, 0]
                    last[:-1] |= number[1:] != number[:-1]
            ends.append(last[:READ_AT_ONCE].nonzero().squeeze(-1).numpy() + start)
        return np.unique(np.concatenate(ends))

    def _pieces(self) -> list[Piece]:
        starts = np.concatenate([[0], self._ends[:-1] + 1])
        return [
            Piece(
                f"{self._name} episode {index}", int(end - start + 1), int(end - start + 1),
                partial(self._episode, index, int(start), int(end)), 0,
            )
            for index, (start, end) in enumerate(zip(starts, self._ends, strict=True))
        ]  # fmt: skip

    def _episode(self, index: int, start: int, end: int) -> tuple[TensorDict, str]:
        stored, what = self._source[start : end + 1], f"{self._name} episode {index}"
        rows = empty_transitions(self.spec, len(stored))
        own = stored["action"].numpy(force=True).astype(np.float64)
        low, high = self._action_bounds
        if own.size and not (low - 1e-6 <= own.min() and own.max() <= high + 1e-6):
            raise DataError(
                f"{what}: actions lie in [{own.min():g}, {own.max():g}], beyond [{low:g}, {high:g}]; action_bounds "
                "says where they lie"
            )
        observation, following = (self._flat(_observations(each)) for each in (stored, stored["next"]))
        reward = stored["next"].get("reward", None)
        reward = np.zeros((len(stored), 1)) if reward is None else reward.numpy(force=True).reshape(len(stored), -1)
        physics = np.concatenate([following, reward[:, :1].astype(np.float64)], axis=1)
        for name, value in (("observations", observation), ("next observations", following), ("rewards", reward)):
            require_finite(what, name, value, np.float32)
        ended = np.arange(len(stored)) == len(stored) - 1
        terminated = _flag(stored["next"].get("terminated", None), len(stored))
        rows["observation"].copy_(torch.from_numpy(observation))
        rows["action"].copy_(torch.from_numpy(self._actions.from_own(own)))
        rows["next", "observation"].copy_(torch.from_numpy(following))
        rows["next", "physics"].copy_(torch.from_numpy(physics))
        rows["next", "terminated"].copy_(torch.from_numpy(terminated))
        # An episode that ends in another way was cut.
        rows["next", "truncated"].copy_(torch.from_numpy(ended & ~terminated))
        return rows, hashlib.sha256(b"".join(each.tobytes() for each in (observation, own, physics))).hexdigest()

    def _flat(self, observation: TensorDictBase) -> np.ndarray:  # (n, o)
        entries = self._observation.entries
        return np.concatenate([entry.flat(observation[entry.path].numpy(force=True)) for entry in entries], axis=1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from."""
        return (type(self), self._given)


def _identity(arguments: dict[str, Any]) -> str:
    return str(arguments.get("dataset_id", arguments.get("repo_id", "")))


def _made(name: str, arguments: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        # TorchRL 0.14 warns about classes of its own when its datasets are imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        datasets = importlib.import_module(MODULE)
    known = [each for each in dir(datasets) if each.endswith("ExperienceReplay")]
    if name not in known:
        raise ValueError(f'{MODULE} has no dataset "{name}"{suggestion(name, known)}')
    try:
        return getattr(datasets, name)(**{"batch_size": 1, **arguments})
    except Exception as error:  # each class has its own ways to fail
        raise ValueError(f"{name} cannot be made: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _observations(transitions: TensorDictBase) -> TensorDict:
    """The observation's entries; a single one is called as what TorchRL calls it."""
    found = transitions["observation"]
    if isinstance(found, TensorDictBase):
        return found  # type: ignore[return-value]
    return TensorDict({"observation": found}, transitions.batch_size)


def _path(key: Any) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (key,)


def _flag(value: torch.Tensor | None, count: int) -> np.ndarray:  # (n,) bool
    if value is None:
        return np.zeros(count, dtype=bool)
    return value.reshape(count, -1).any(-1).numpy(force=True)
