"""Job ``export``: a dataset in ExORL's layout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from tensordict import TensorDictBase

from bfmkit.data.exorl_layout import BUFFER, write_episode
from bfmkit.data.minari_layout import dataset_id, require_minari, write_minari
from bfmkit.interfaces import Dataset, Environment, Job
from bfmkit.registry import register
from bfmkit.utils.progress_bar import ProgressBar

READ_AT_ONCE = 100_000


@register(Job, "export")
class ExportJob(Job):
    """Dataset written as ``out/DOMAIN/ALGORITHM/buffer/episode_INDEX_LENGTH.npz``, the layout of ExORL, or for Minari.

    Run again, it writes the episodes that are missing. A dataset of Minari, ``out/DOMAIN/ALGORITHM-v0``, is written
    whole. Rewards are zero unless an environment is given, which computes
    those of its task from the recorded physics. The physics of a reset was not recorded: its row repeats the first
    step's.

    Args:
        dataset: what to write.
        algorithm: the name of the folder below the domain's.
        environment: whose task, that of its first row, gives the rewards.
        layout: ``exorl`` or ``minari``.

    Raises:
        ValueError: if ``algorithm`` is no name of a folder, the environment is of another body, or Minari is not
            installed.

    Example:
        ``bfmkit run export dataset.path=runs/collect_walker``
    """

    logs = False

    def __init__(
        self,
        dataset: Dataset,
        algorithm: str = "collected",
        environment: Environment | None = None,
        layout: Literal["exorl", "minari"] = "exorl",
    ) -> None:
        if Path(algorithm).name != algorithm or algorithm in ("", ".", ".."):
            raise ValueError(f'algorithm must be the name of a folder, got "{algorithm}"')
        if environment is not None:
            environment.spec.require_compatible(dataset.spec, "the dataset")
        if layout == "minari":
            require_minari()
        self.dataset, self.algorithm, self.environment, self.layout = dataset, algorithm, environment, layout

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Write the files that are missing."""
        return self._run_minari(out) if self.layout == "minari" else self._run_exorl(out)

    def _run_minari(self, out: Path) -> dict[str, Any]:
        folder, episodes = out / dataset_id(self.dataset.spec, self.algorithm), list(self._episodes())
        if not folder.exists():
            unfinished = out / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            with ProgressBar("export", len(self.dataset), unit="transitions") as bar:
                written = write_minari(unfinished, self.dataset.spec, self.algorithm, self._labelled(episodes, bar))
            folder.parent.mkdir(parents=True, exist_ok=True)
            written.rename(folder)
            shutil.rmtree(unfinished)
        return {"episodes": len(episodes), "transitions": len(self.dataset), "folder": str(folder.relative_to(out))}

    def _labelled(
        self, episodes: list[torch.Tensor], bar: ProgressBar
    ) -> Iterator[tuple[TensorDictBase, torch.Tensor | None]]:
        for rows in episodes:
            transitions = self.dataset.read(rows)
            yield transitions, self._reward(transitions)
            bar.advance(len(rows))

    def _run_exorl(self, out: Path) -> dict[str, Any]:
        folder = out / self.dataset.spec.domain / self.algorithm / BUFFER
        folder.mkdir(parents=True, exist_ok=True)
        written = 0
        with ProgressBar("export", len(self.dataset), unit="transitions") as bar:
            for index, rows in enumerate(self._episodes()):
                if not (folder / f"episode_{index:06d}_{len(rows)}.npz").exists():
                    self._write(folder, index, rows)
                written = index + 1
                bar.advance(len(rows))
        return {"episodes": written, "transitions": len(self.dataset), "folder": str(folder.relative_to(out))}

    def _write(self, folder: Path, index: int, rows: torch.Tensor) -> None:
        transitions = self.dataset.read(rows)
        write_episode(folder, index, transitions, self._reward(transitions))

    def _reward(self, transitions: TensorDictBase) -> torch.Tensor | None:  # (T,)
        if self.environment is None:
            return None
        physics, action = transitions["next", "physics"], transitions["action"]
        steps = torch.arange(1, len(transitions) + 1)
        return self.environment.relabel(physics, action, self.environment.tasks[0], steps)

    def _episodes(self) -> Iterator[torch.Tensor]:
        """The rows of each episode; the last one may have no end."""
        first = 0
        for start in range(0, len(self.dataset), READ_AT_ONCE):
            rows = torch.arange(start, min(start + READ_AT_ONCE, len(self.dataset)))
            flags = self.dataset.read_keys(rows, [("next", "terminated"), ("next", "truncated")])["next"]
            for end in (flags["terminated"] | flags["truncated"]).nonzero().squeeze(-1).tolist():
                yield torch.arange(first, start + end + 1)
                first = start + end + 1
        if first < len(self.dataset):
            yield torch.arange(first, len(self.dataset))
