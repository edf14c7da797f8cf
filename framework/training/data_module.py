"""Transitions of a pretraining as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning
import torch

from bfmkit.data.sampling import TransitionBatches, UpdateGroups
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.interfaces import Dataset
from bfmkit.training.self_collection import SelfCollection

APART = 1_000_003
"""From one process's seed to the next."""


class TransitionData(lightning.LightningDataModule):
    """Transition pool and batches of a training; each process draws its own part of every batch.

    ``setup`` also gives every process but the first noise of its own.

    Args:
        dataset: what to train on.
        updates: U, how many there will be.
        batch_size: transitions of an update, over all processes.
        seed: of the batches.
        out: the run directory, for what is collected on the way.
        epoch: updates of an epoch of the trainer.
        updates_per_step: updates of a step of the trainer, at most.
        stops: numbers of updates after whose multiples a step ends.
        self_collection: what the model adds to the data; nothing if not given.
        future_discount: of the objective.
        on_device: whether to copy the data to the device; if not given, whether they fit.
        resumes: whether a training state says how much of what was collected earlier is kept; else none is.
    """

    pool: TransitionPool
    batches: TransitionBatches

    def __init__(
        self,
        dataset: Dataset,
        updates: int,
        batch_size: int,
        seed: int,
        out: Path,
        epoch: int,
        updates_per_step: int = 1,
        stops: Sequence[int] = (),
        self_collection: SelfCollection | None = None,
        future_discount: float | None = None,
        on_device: bool | None = None,
        resumes: bool = False,
    ) -> None:
        super().__init__()
        self.dataset, self.self_collection = dataset, self_collection
        self._updates, self._batch_size, self._seed, self._out = updates, batch_size, seed, out
        self._epoch, self._updates_per_step, self._stops = epoch, updates_per_step, stops
        self._future_discount, self._on_device, self._resumes = future_discount, on_device, resumes

    def setup(self, stage: str) -> None:
        """Open the pool on the process's device."""
        trainer = self.trainer
        if trainer is None:
            raise ValueError("a data module is set up by a trainer")
        rank = trainer.global_rank
        room = self._collected(self._updates - 1)
        # Each process keeps its own copy of what was collected: they need not share a disk.
        folder = self._out / "self_collection" if rank == 0 else self._out / f"checkpoints/self_collection-{rank}"
        self.pool = TransitionPool(self.dataset, trainer.strategy.root_device, room, folder, self._on_device)
        if not self._resumes:
            self.pool.rewind(0)
        self.batches = TransitionBatches(
            self.pool, self._batch_size, self._seed, self._size, self._future_discount, (rank, trainer.world_size)
        )
        if rank > 0:
            torch.manual_seed(self._seed + APART * rank)

    def train_dataloader(self) -> UpdateGroups:
        """Groups of updates from the present one to the end of its epoch."""
        return UpdateGroups(self._updates, self._updates_per_step, self._stops, self._position, self._epoch)

    def _position(self) -> int:
        return self.trainer.lightning_module.update  # type: ignore[union-attr,return-value]

    def _size(self, number: int) -> int:
        # The update right after a round draws from what there was before it: that batch may be drawn ahead.
        return len(self.dataset) + self._collected(max(number - 1, 0))

    def _collected(self, update: int) -> int:
        collection = self.self_collection
        return 0 if collection is None else collection.rounds(update) * collection.block
