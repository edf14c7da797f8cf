"""Radial basis functions on a grid over named entries of the observation."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat


@register(FeatureMap, "rbf")
class RBFFeatures(FeatureMap):
    """Radial basis functions: a Gaussian at each point of a grid over a few entries of the next observation.

        φ_k(s, a, s') = exp(−‖x' − c_k‖² / 2σ²),   x' = s'[entries],   σ = bandwidth · the grid's spacing

    Each weight is what one place is worth: a reward of the place that varies no faster than the grid is nearly linear
    in them, and one at a single place nearly a single weight.

    Args:
        spec: sizes of the environment, and the names of its observation's entries.
        entries: which entries, by name; the first two if not given.
        grid_size: grid points along a side; d is side to the power of the number of entries.
        extent: the grid spans ±this, in standardised observations.
        bandwidth: of a bump, in spacings.

    Raises:
        ValueError: if there is no such entry, ``grid_size`` is less than 2, or another number not positive.

    Example:
        ``features: {type: rbf, grid_size: 10}``
    """

    centres: Tensor
    entries: Tensor

    def __init__(
        self,
        spec: EnvironmentSpec,
        entries: list[str] | None = None,
        grid_size: Annotated[int, Ge(2)] = 8,
        extent: PositiveFloat = 1.7,
        bandwidth: PositiveFloat = 0.75,
    ) -> None:
        super().__init__()
        columns = spec.entries(spec.observation_names[:2] if entries is None else entries)
        if not columns:
            raise ValueError(f"radial features need entries to lie over ({', '.join(spec.observation_names)})")
        self.dim = grid_size ** len(columns)
        line = torch.linspace(-extent, extent, grid_size)
        self.register_buffer("centres", torch.cartesian_prod(*[line] * len(columns)).reshape(self.dim, -1))
        self.register_buffer("entries", torch.tensor(columns), persistent=False)
        self._deviation = bandwidth * 2 * extent / (grid_size - 1)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Bumps at s'; the other two arguments are not read."""
        away = (next_observation[..., None, self.entries] - self.centres) / self._deviation  # (*b, d, q)
        return torch.exp(-away.square().sum(-1) / 2)
