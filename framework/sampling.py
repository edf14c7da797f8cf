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
        future_discount: of an objective that learns from later states, which are then in the batch.
    """

    def __init__(
        self,
        pool: TransitionPool,
        batch_size: int,
        seed: int,
        position: Callable[[], int],
        size: Callable[[int], int] | None = None,
        future_discount: float | None = None,
    ) -> None:
        self._pool, self._batch_size, self._seed, self._position = pool, batch_size, seed, position
        self._size, self._future_discount = size, future_discount

    def batch(self, number: int) -> TensorDict:  # batch (N,)
        """Batch ``number`` of the stream."""
        size = len(self._pool) if self._size is None else self._size(number)
        rows = torch.from_numpy(generator(self._seed, "batches", number).integers(size, size=self._batch_size))
        batch = self._pool.batch(rows)
        if self._future_discount is not None:
            draw = generator(self._seed, "futures", number)
            steps = torch.from_numpy(draw.geometric(1 - self._future_discount, size=self._batch_size) - 1)
            batch["future", "observation"] = self._pool.future(rows, steps)
        return batch

    def __iter__(self) -> Iterator[TensorDict]:
        """Batches from the present position on."""
        number = self._position()
        while True:
            yield self.batch(number)
            number += 1
