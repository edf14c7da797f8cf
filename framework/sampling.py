"""Batches of transitions, drawn on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from tensordict import TensorDict, TensorDictBase
from torch.utils.data import IterableDataset

from bfmkit.noise import generator


class TransitionBatches(IterableDataset):
    """An endless stream of uniform batches with replacement; batch t is a function of (seed, t) alone.

    Args:
        transitions: all of them, on the training device.
        batch_size: N.
        seed: of the draw.
        position: asked when iteration starts, so that a resumed training goes on with the batch it stopped at.
    """

    def __init__(self, transitions: TensorDictBase, batch_size: int, seed: int, position: Callable[[], int]) -> None:
        self._transitions, self._batch_size, self._seed, self._position = transitions, batch_size, seed, position

    def batch(self, number: int) -> TensorDict:  # batch (N,)
        """Batch ``number`` of the stream."""
        rows = generator(self._seed, "batches", number).integers(len(self._transitions), size=self._batch_size)
        return self._transitions[torch.from_numpy(rows).to(self._transitions.device)]

    def __iter__(self) -> Iterator[TensorDict]:
        """Batches from the present position on."""
        number = self._position()
        while True:
            yield self.batch(number)
            number += 1
