"""Datasets: reward-free transitions on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

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
