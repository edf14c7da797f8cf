"""CUDA graph of an update, and snapshots to record it from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from bfmkit.training.rng_state import generator_states, set_generator_states

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


class Snapshot:
    """Copies of a module's tensors, its optimiser's and the generators'; they are restored in place.

    In place, because a recorded update reads and writes the memory that it saw when it was recorded.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._device = device
        self._tensors = [tensor for tensor in module.state_dict().values() if isinstance(tensor, Tensor)]
        self._copies = [tensor.clone() for tensor in self._tensors]
        self._optimizer = optimizer
        self._states = {
            parameter: {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}
            for parameter, state in optimizer.state.items()
        }
        self._generators = generator_states(device)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back. What the optimiser did not have yet is zero, which is how Adam begins."""
        for tensor, copy in zip(self._tensors, self._copies, strict=True):
            tensor.copy_(copy)
        for parameter, state in self._optimizer.state.items():
            earlier = self._states.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor):
                    value.copy_(earlier[name]) if name in earlier else value.zero_()
        set_generator_states(self._generators, self._device)
