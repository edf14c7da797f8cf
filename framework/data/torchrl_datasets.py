"""ExORL for TorchRL: importing this module lets ``load_dataset`` find it by name.

``load_dataset("exorl:walker/rnd", root="data", batch_size=256).sample()``
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensordict import TensorDict
from torchrl.data import ImmutableDatasetWriter
from torchrl.data.replay_buffers import TensorStorage

from bfmkit.data.conversion import DataError, converted
from bfmkit.data.exorl_layout import EpisodeFile, buffer_folder, episode_files, episode_pieces, row_sizes
from bfmkit.data.shards import read_shard, shard_names
from bfmkit.interfaces import EnvironmentSpec

with warnings.catch_warnings():
    # TorchRL 0.14 warns about classes of its own when its datasets are imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    from torchrl.data.datasets import register_dataset
    from torchrl.data.datasets.common import BaseDatasetExperienceReplay


class ExorlExperienceReplay(BaseDatasetExperienceReplay):
    """Episodes in ExORL's layout as a TorchRL replay buffer over a memory map.

    Entries follow TorchRL's convention: ``observation``, ``action`` and, under ``next``, ``observation``, ``physics``,
    ``terminated``, ``truncated`` and ``done``. There is no reward: ExORL's is relabelled from ``physics``.

    Args:
        dataset_id: ``DOMAIN/ALGORITHM``, as the folders are named.
        batch_size: of ``sample()``.
        root: the folder that holds ``DOMAIN/ALGORITHM``.
        episodes: how many, from the first; all if not given.
        skip_corrupt: leave out files that cannot be used instead of stopping at the first.
        replay: further arguments of TorchRL's buffer, e.g. ``sampler`` or ``transform``.

    Raises:
        FileNotFoundError: if there are no episodes.
        ValueError: naming the first file that cannot be used.
    """

    def __init__(
        self,
        dataset_id: str,
        batch_size: int | None = None,
        *,
        root: Path | str = "data",
        episodes: int | None = None,
        skip_corrupt: bool = False,
        **replay: Any,
    ) -> None:
        self.root = Path(root)
        self.dataset_id = dataset_id
        self._folder = self.root / dataset_id / ("memory_map" if episodes is None else f"memory_map_{episodes}")
        files = episode_files(buffer_folder(self.root / dataset_id))[:episodes]
        spec = _spec_of(files, dataset_id.split("/")[0], skip_corrupt)
        self.source = converted(self._folder, spec, episode_pieces(files, spec), skip_corrupt)
        (name,) = shard_names(self._folder)
        super().__init__(
            storage=TensorStorage(_entries(read_shard(self._folder, name))),
            writer=ImmutableDatasetWriter(),
            batch_size=batch_size,
            **replay,
        )

    @property
    def data_path(self) -> Path:
        """Folder of the memory map."""
        return self._folder

    @property
    def data_path_root(self) -> Path:
        """Folder of the dataset."""
        return self.root / self.dataset_id

    def _is_downloaded(self) -> bool:
        return self.data_path_root.is_dir()


def _spec_of(files: Sequence[EpisodeFile], domain: str, skip_corrupt: bool) -> EnvironmentSpec:
    """Spec with the sizes of the first episode that can be read."""
    refusals = []
    for file in files:
        try:
            o, a, p = row_sizes(file)
        except DataError as error:
            if not skip_corrupt:
                raise
            refusals.append(error)
        else:
            return EnvironmentSpec(domain, o, a, p, file.length, control_timestep=0.0, tasks=())
    raise DataError(f"none of {len(files)} episodes can be used; the first: {refusals[0]}")


def _entries(transitions: TensorDict) -> TensorDict:
    following = transitions["next"]
    terminated, truncated = following["terminated"].unsqueeze(-1), following["truncated"].unsqueeze(-1)
    flags = {"terminated": terminated, "truncated": truncated, "done": terminated | truncated}
    entries = {"observation": transitions["observation"], "action": transitions["action"]}
    later = {"observation": following["observation"], "physics": following["physics"], **flags}
    return TensorDict({**entries, "next": TensorDict(later, transitions.batch_size)}, transitions.batch_size)


register_dataset("exorl", ExorlExperienceReplay, replace=True)
