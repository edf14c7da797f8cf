"""Datasets: reward-free transitions on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from tensordict import TensorDict

from bfmkit.interfaces.spec import EnvironmentSpec


class Dataset(ABC):
    """Transitions of one domain: ``observation``, ``action`` and, under ``next``, ``observation``, ``physics``,
    ``terminated``, ``truncated``. Episodes follow one another in order; ``("next", "physics")`` and the action are
    what rewards are computed from.
    """

    kind: ClassVar[str] = "dataset"
    folder: ClassVar[str] = "datasets"

    spec: EnvironmentSpec

    @abstractmethod
    def __len__(self) -> int:
        """The number of transitions."""

    @abstractmethod
    def read(self, indices: torch.Tensor) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Some transitions, all keys."""

    def read_keys(self, indices: torch.Tensor, keys: list) -> TensorDict:  # (n,) int64 -> batch (n,)
        """Some transitions, the named keys; override where reading less is quicker."""
        return self.read(indices).select(*keys)

    @abstractmethod
    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:  # batch (N,)
        """The named keys of all transitions, ready to be sampled on ``device``."""

    def provenance(self) -> list[dict[str, Any]]:
        """Which data these are, for whoever reads a run that used them or the card of its model.

        A row for each place that they come from: ``path``, as the recipe names it; ``checksum`` of the data, or None
        if nobody worked one out; ``episodes``, how many there were, or None; ``skipped``, how many of these were left
        out because they could not be used. No row if nothing is known; override where something is.
        """
        return []
