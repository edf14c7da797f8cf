"""Batches of transitions, drawn on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from tensordict import TensorDict
from torch.utils.data import IterableDataset

from bfmkit.noise import generator
from bfmkit.transition_pool import TransitionPool


class TransitionBatches(IterableDataset):
    """An endless stream of uniform batches with replacement; batch t is a function of (seed, t) and the pool alone.

    Args:
        pool: what to draw from.
        batch_size: N.
        seed: of the draw.
        position: asked when iteration starts, so that a resumed training goes on with the batch it stopped at.
        size: t -> how many transitions of the pool batch t is drawn from; all of them if not given. A loader draws
            ahead, so what the pool holds at the time of the draw would not do.
    """

    def __init__(
        self,
        pool: TransitionPool,
        batch_size: int,
        seed: int,
        position: Callable[[], int],
        size: Callable[[int], int] | None = None,
    ) -> None:
        self._pool, self._batch_size, self._seed, self._position = pool, batch_size, seed, position
        self._size = size

    def batch(self, number: int) -> TensorDict:  # batch (N,)
        """Batch ``number`` of the stream."""
        size = len(self._pool) if self._size is None else self._size(number)
        rows = generator(self._seed, "batches", number).integers(size, size=self._batch_size)
        return self._pool.batch(torch.from_numpy(rows))

    def __iter__(self) -> Iterator[TensorDict]:
        """Batches from the present position on."""
        number = self._position()
        while True:
            yield self.batch(number)
            number += 1
