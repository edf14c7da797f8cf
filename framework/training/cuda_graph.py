"""An update recorded once, as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.training.snapshot import Snapshot

WARM_UPS = 3

Update = Callable[[TensorDictBase], tuple[TensorDictBase, Tensor]]


class CapturedUpdate:
    """Records an update's kernels, and launches all of them at once from then on.

    What the processor would spend on launching some thousand kernels an update is gone. Libraries settle down in a few
    updates that are taken back.

    Args:
        update: losses and their sum from a batch; it must neither look at a number nor move one to the processor.
        example: a batch of the shape of all that follow.
        before: what to go back to after warming up.
    """

    def __init__(self, update: Update, example: TensorDictBase, before: Snapshot) -> None:
        self._batch = example.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                update(self._batch)
        torch.cuda.current_stream().wait_stream(stream)
        before.restore()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses, self._total = update(self._batch)

    def replay(self, batch: TensorDictBase) -> tuple[TensorDictBase, Tensor]:
        """The update on another batch; what it gives is overwritten by the next."""
        self._batch.update_(batch)
        self._graph.replay()
        return self._losses, self._total
