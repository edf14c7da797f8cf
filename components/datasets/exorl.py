"""Dataset in ExORL's layout."""

from __future__ import annotations

from pathlib import Path

from bfmkit.data.conversion import Piece
from bfmkit.data.converted_dataset import ConvertedDataset
from bfmkit.data.exorl_layout import BUFFER, buffer_folder, episode_files, episode_pieces
from bfmkit.interfaces import Dataset, Environment
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Dataset, "exorl")
class ExorlDataset(ConvertedDataset):
    """Dataset of ExORL, a folder ``DOMAIN/ALGORITHM``, or one that ``bfmkit run export`` wrote.

    Its episodes are taken in the order of their numbers. The first use converts them into a memory map, in a folder
    beside the episodes, with the checksum of every file; it is made anew if the files are no longer the same. Stored
    rewards are not looked at.

    Args:
        path: ``DOMAIN/ALGORITHM``, or its ``buffer`` folder.
        environment: the body that the data came from; only its spec is looked at.
        episodes: how many, from the first; all if not given.
        skip_corrupt: leave out files that cannot be used, instead of stopping at the first. How many and which is said
            on every use, and what trains on the data records it.
        checksum: what ``checksum`` in the memory map's ``source.json`` must be, if the very same data are to be used.
        cache: where the memory map is put; in ``path`` if not given.

    Raises:
        FileNotFoundError: if there are no episodes.
        ValueError: if ``episodes`` is not positive, or a file name is not an episode's.
        JobError: on first use, naming the file that is truncated, of another shape or domain, or not finite; or if the
            disk is too small, or ``checksum`` is another.

    Example:
        ``dataset: {type: exorl, path: data/walker/rnd, environment: {type: dm_control, domain: walker}}``

    Reference:
        Yarats et al., Don't change the algorithm, change the data: exploratory data for offline reinforcement
        learning, 2022.
    """

    def __init__(
        self,
        path: Path,
        environment: Environment,
        episodes: PositiveInt | None = None,
        skip_corrupt: bool = False,
        checksum: str | None = None,
        cache: Path | None = None,
    ) -> None:
        folder = buffer_folder(path)
        home = folder.parent if folder.name == BUFFER else folder
        name = "memory_map" if episodes is None else f"memory_map_{episodes}"
        super().__init__(path, cache or home / name, skip_corrupt, checksum)
        self.spec, self._files = environment.spec, episode_files(folder)[:episodes]

    def _pieces(self) -> list[Piece]:
        return episode_pieces(self._files, self.spec)
