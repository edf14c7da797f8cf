"""Datasets in OGBench's layout."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDict

from bfmkit.data.conversion import DataError, Piece
from bfmkit.data.converted_dataset import ConvertedDataset, require_finite
from bfmkit.data.shards import empty_transitions
from bfmkit.interfaces import Dataset, Environment
from bfmkit.registry import register

KEYS = ("observations", "actions", "terminals")
ROUNDING = 1e-5
"""How far beyond [-1, 1] an action may be, and is taken for 1."""


@register(Dataset, "ogbench")
class OGBenchDataset(ConvertedDataset):
    """Dataset of OGBench: an npz file with ``observations``, ``actions`` and ``terminals``, states end to end.

    A state that ``terminals`` marks is the last of its trajectory, and its action leads nowhere; trajectories are cut
    there, none is over for good. The first use converts them into a memory map. Rewards are not stored in this layout:
    type them over the observation's names (``observation_0``), with the environment as ``{type: gymnasium}``. Other
    entries (``qpos``, ``qvel``, ``button_states``) are not looked at.

    Args:
        path: the file, such as ``antmaze-medium-navigate-v0.npz``; ``ogbench.download_datasets`` fetches them.
        environment: that the data came from, of type ``gymnasium``; only its spec is looked at.
        skip_corrupt: leave out trajectories that are not finite, instead of stopping at the first.
        cache: where the memory map is put; beside the file if not given.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not of this layout, or the environment of another observation or kind.
        JobError: on first use, naming the trajectory that cannot be used, or if the disk is too small.

    Example:
        ``dataset: {type: ogbench, path: data/antmaze-medium-navigate-v0.npz, environment: {type: gymnasium, id:
        "ogbench:antmaze-medium-v0"}}``

    Reference:
        Park et al., OGBench: benchmarking offline goal-conditioned RL, 2025.
    """

    def __init__(
        self, path: Path, environment: Environment, skip_corrupt: bool = False, cache: Path | None = None
    ) -> None:
        self.spec, self._path = environment.spec, Path(path)
        super().__init__(path, cache or self._path.with_suffix(".memory_map"), skip_corrupt)
        if self.spec.physics_size != self.spec.observation_size + 1:
            raise ValueError(
                f"environment must be of type gymnasium, whose physics are what it observes and a reward; "
                f"{self.spec.domain} has {self.spec.physics_size} numbers of physics"
            )
        if not self._path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file (ogbench.download_datasets fetches datasets)")
        try:
            with np.load(self._path) as file:
                missing = [key for key in KEYS if key not in file]
                ends = file["terminals"] if not missing else np.zeros(0)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: is no npz file: {' '.join(str(error).split())}") from error
        if missing:
            raise ValueError(f"{path}: has no {missing[0]}; OGBench's files have {', '.join(KEYS)}")
        self._last = np.flatnonzero(ends)
        if ends.ndim != 1 or len(self._last) == 0 or self._last[-1] != len(ends) - 1:
            raise ValueError(f"{path}: terminals must be one number a state and mark the last, got {ends.shape}")

    def _pieces(self) -> list[Piece]:
        mtime_ns = self._path.stat().st_mtime_ns
        first = np.concatenate([[0], self._last[:-1] + 1])
        arrays: dict[str, np.ndarray] = {}
        return [
            Piece(f"{self._path.name} trajectory {index}", int(end - start), int(end - start),
                  partial(self._trajectory, arrays, index, int(start), int(end)), mtime_ns)
            for index, (start, end) in enumerate(zip(first, self._last, strict=True))
        ]  # fmt: skip

    def _trajectory(
        self, arrays: dict[str, np.ndarray], index: int, start: int, end: int
    ) -> tuple[TensorDict, str]:  # states start to end, actions but the last
        if not arrays:
            with np.load(self._path) as file:
                arrays.update({key: file[key] for key in KEYS[:2]})
        observation, action = arrays["observations"][start : end + 1], arrays["actions"][start:end]
        what = f"{self._path.name} trajectory {index}"
        for name, value, size in (
            ("observations", observation, self.spec.observation_size), ("actions", action, self.spec.action_size),
        ):  # fmt: skip
            if value.shape[1:] != (size,):
                raise DataError(f"{what}: {name} must be (n, {size}), got {value.shape} ({self.spec.domain})")
            require_finite(what, name, value)
        if len(action) == 0:
            raise DataError(f"{what}: has a single state")
        if np.abs(action).max() > 1 + ROUNDING:
            raise DataError(f"{what}: actions must lie in [-1, 1], got {np.abs(action).max():g}")
        rows = empty_transitions(self.spec, len(action))
        following = torch.from_numpy(observation[1:])
        rows["observation"].copy_(torch.from_numpy(observation[:-1]))
        rows["action"].copy_(torch.from_numpy(action.clip(-1, 1)))
        rows["next", "observation"].copy_(following)
        rows["next", "physics"].zero_()[:, :-1].copy_(following)
        rows["next", "truncated"][-1] = True
        return rows, hashlib.sha256(observation.tobytes() + action.tobytes()).hexdigest()
