"""Batches of transitions, drawn on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.data.transition_pool import TransitionPool
from bfmkit.utils.rng import generator


class TransitionBatches:
    """Uniform batches with replacement; batch t is a function of (seed, t) and the pool alone.

    Args:
        pool: what to draw from.
        batch_size: N.
        seed: of the draw.
        size: t -> how many transitions of the pool batch t is drawn from; all that it holds at the time if not given.
        future_discount: of an objective that learns from later states, which are then in the batch.
        share: (r, W): of each batch this is the r-th of W equal parts, for W processes that train together.
    """

    def __init__(
        self,
        pool: TransitionPool,
        batch_size: int,
        seed: int,
        size: Callable[[int], int] | None = None,
        future_discount: float | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._pool, self._batch_size, self._seed = pool, batch_size, seed
        self._size, self._future_discount = size, future_discount
        part = batch_size // share[1]
        self._part = slice(share[0] * part, (share[0] + 1) * part)

    def chunk(self, first: int, count: int) -> TensorDict:  # batch (count, N / W)
        """Several consecutive batches, or this process's part of them."""
        return self._draw(range(first, first + count), self._part)

    def whole(self, number: int) -> TensorDict:  # batch (N,)
        """Whole batch, over all processes."""
        return self._draw([number], slice(None))[0]

    def _draw(self, numbers: Sequence[int], part: slice) -> TensorDict:
        rows = torch.stack([self._rows(number)[part] for number in numbers])
        batches = self._pool.batch(rows)
        if self._future_discount is not None:
            stop = 1 - self._future_discount
            steps = torch.stack([self._steps(number, stop)[part] for number in numbers])
            batches["future", "observation"] = self._pool.future(rows, steps)
        return batches

    def _rows(self, number: int) -> Tensor:  # (N,)
        size = len(self._pool) if self._size is None else self._size(number)
        return torch.from_numpy(generator(self._seed, "batches", number).integers(size, size=self._batch_size))

    def _steps(self, number: int, stop: float) -> Tensor:  # (N,)
        return torch.from_numpy(generator(self._seed, "futures", number).geometric(stop, size=self._batch_size) - 1)


class UpdateGroups:
    """Updates of a training in groups (first, how many), each one step of the trainer.

    The trainer's own work is done once a group. A group ends where something is to happen between two updates, so that
    how they are grouped changes nothing.

    Args:
        updates: how many there are in all.
        together: the largest group.
        every: numbers of updates after whose multiples something happens.
        position: asked when iteration starts, so that a resumed training goes on with the update it stopped at.
        epoch: updates of an epoch of the trainer; all of them if not given.
    """

    def __init__(
        self,
        updates: int,
        together: int,
        every: Sequence[int],
        position: Callable[[], int],
        epoch: int | None = None,
    ) -> None:
        self._updates, self._together, self._every, self._position = updates, together, every, position
        self._epoch = epoch or updates

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Groups from the present position to the end of its epoch."""
        number = self._position()
        last = min((number // self._epoch + 1) * self._epoch, self._updates)
        while number < last:
            stops = [(number // every + 1) * every for every in self._every]
            end = min(number + self._together, last, *stops)
            yield number, end - number
            number = end
