"""Everything that an update changes, to go back to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bfmkit.training.rng_state import generator_states, set_generator_states


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
