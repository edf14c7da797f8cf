"""Models whose faults are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bfmkit.components.bfms.tabular import TabularBFM
from bfmkit.tabular.mdp_layout import MDPLayout

GRID = MDPLayout("grid", size=3)


class BrokenBFM(TabularBFM):
    """The exact model of a grid, with one part replaced.

    Args:
        mdp: the grid.
        psi: what to make of ψ.
        phi: what to make of φ.
        latent: what the actor takes for z.
    """

    def __init__(
        self,
        mdp: MDPLayout = GRID,
        psi: Callable[[Tensor], Tensor] = lambda x: x,
        phi: Callable[[Tensor], Tensor] = lambda x: x,
        latent: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        super().__init__(mdp)
        self._psi, self._phi, self._latent = psi, phi, latent

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return self._phi(super().features(observation, action, next_observation))

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        return self._psi(super().successor_features(observation, z, action))

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        return super().act(observation, self._latent(z))


@pytest.fixture
def broken() -> type[BrokenBFM]:
    """The class."""
    return BrokenBFM


@pytest.fixture
def weights() -> Tensor:
    """Some rewards of the grid, (4, 9)."""
    return torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
