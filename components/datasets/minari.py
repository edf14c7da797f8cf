"""Datasets of Minari, by their ids."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from bfmkit.data.conversion import DataError, Piece
from bfmkit.data.converted_dataset import ConvertedDataset, require_finite
from bfmkit.data.shards import empty_transitions
from bfmkit.environments.action_scale import space_actions
from bfmkit.environments.adapted import adapted_spec
from bfmkit.environments.flat_observation import flat_space
from bfmkit.interfaces import Dataset, EnvironmentSpec
from bfmkit.registry import register


@register(Dataset, "minari")
class MinariDataset(ConvertedDataset):
    """Dataset of Minari, by its id; needs the extra ``minari``.

    The first use converts its episodes into a memory map. Observations and actions are laid out as an environment of
    type ``gymnasium`` has them: entries sorted by name, actions in [-1, 1]. There is no physics in these data:
    as with adapted environments, what stands for it is the next observation and the reward that came with it, so the
    task is ``own_reward``, and rewards may be typed over the entries of observation and action.

    Args:
        id: as Minari names it, e.g. ``mujoco/walker2d/expert-v0``.
        domain: the spec's; ``id`` if not given. Data of different domains never mix.
        download: whether to fetch the dataset if it is not on this machine.
        skip_corrupt: leave out episodes that are not finite, instead of stopping at the first. How many and which is
            said on every use, and what trains on the data records it.
        cache: where the memory map is put; beside Minari's own files if not given.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of them,
            sorted by name, if not given.

    Raises:
        ValueError: if Minari is not installed, does not have the dataset, its observation has an entry that is no fixed
            number of numbers, or its actions are neither numbers nor choices.
        JobError: on first use, naming the episode that cannot be used, or if the disk is too small.

    Example:
        ``dataset: {type: minari, id: mujoco/halfcheetah/medium-v0, download: true}``
    """

    def __init__(
        self,
        id: str,
        domain: str | None = None,
        download: bool = False,
        skip_corrupt: bool = False,
        cache: Path | None = None,
        observation_keys: list[str] | None = None,
    ) -> None:
        try:
            import minari
        except ImportError as error:
            raise ValueError("datasets of Minari need it installed: pip install 'bfmkit[minari]'") from error
        try:
            self._source = minari.load_dataset(id, download=download)
        except (FileNotFoundError, ValueError, KeyError, RuntimeError) as error:
            hint = "" if download else " (download: true fetches one that is not here)"
            raise ValueError(f"Minari has no dataset {id}: {' '.join(str(error).split())}{hint}") from error
        super().__init__(id, cache or Path(str(self._source.storage.data_path)).parent / "bfmkit", skip_corrupt)
        self._id, self._keys = id, observation_keys
        self._observation = flat_space(self._source.observation_space, observation_keys, id)
        self._actions = space_actions(self._source.action_space, id)
        self.spec = self._read_spec(domain or id)

    def _read_spec(self, domain: str) -> EnvironmentSpec:
        metadata = self._source.storage.get_episode_metadata(self._source.episode_indices)
        self._steps = [int(each["total_steps"]) for each in metadata]
        return adapted_spec(domain, self._observation.names, self._actions.size, max(self._steps))

    def _pieces(self) -> list[Piece]:
        mtime_ns = self._mtime_ns()
        return [
            Piece(f"{self._id} episode {index}", steps, steps, partial(self._episode, int(index)), mtime_ns)
            for index, steps in zip(self._source.episode_indices, self._steps, strict=True)
        ]

    def _mtime_ns(self) -> int:
        """When the newest file was changed: episodes have none of their own."""
        files = Path(str(self._source.storage.data_path)).rglob("*")
        return max((file.stat().st_mtime_ns for file in files if file.is_file()), default=0)

    def _episode(self, index: int) -> tuple[TensorDict, str]:
        stored = self._source[index]
        what = f"{self._id} episode {index}"
        try:
            observation = self._observation.flat(stored.observations)
            own = np.asarray(stored.actions)
            action = self._actions.from_own(own)
        except ValueError as error:
            raise DataError(f"{what}: {error}") from error
        steps = len(action)
        if len(observation) != steps + 1:
            raise DataError(f"{what}: {steps} steps with {len(observation)} observations")
        reward = np.asarray(stored.rewards, dtype=np.float64).reshape(steps, 1)
        require_finite(what, "observations", observation, np.float32)
        require_finite(what, "actions", own)
        require_finite(what, "rewards", reward)
        rows = empty_transitions(self.spec, steps)
        rows["observation"].copy_(torch.from_numpy(observation[:-1]))
        rows["action"].copy_(torch.from_numpy(action))
        rows["next", "observation"].copy_(torch.from_numpy(observation[1:]))
        rows["next", "physics"].copy_(torch.from_numpy(np.concatenate([observation[1:], reward], axis=1)))
        rows["next", "terminated"].copy_(torch.from_numpy(np.asarray(stored.terminations, dtype=bool)))
        rows["next", "truncated"].copy_(torch.from_numpy(np.asarray(stored.truncations, dtype=bool)))
        return rows, hashlib.sha256(b"".join(each.tobytes() for each in (observation, own, reward))).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by name."""
        return (type(self), (self._id, self.spec.domain, False, self._skip_corrupt, self._cache, self._keys))
