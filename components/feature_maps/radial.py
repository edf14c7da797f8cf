"""Radial basis functions on a grid over named entries of the observation."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register


@register(FeatureMap, "radial")
class RadialFeatures(FeatureMap):
    """One Gaussian bump around each point of a grid over a few entries of the next observation.

        φ_k(s, a, s') = exp(−‖x' − c_k‖² / 2σ²),   x' = s'[entries],   σ = width · the grid's spacing

    Each weight is what one place is worth: a reward of the place that varies no faster than the grid is nearly linear
    in them, and one at a single place nearly a single weight.

    Args:
        spec: sizes of the environment, and the names of its observation's entries.
        entries: which entries, by name; the first two if not given.
        side: grid points along a side; d is side to the power of the number of entries.
        reach: the grid spans ±this, in standardised observations.
        width: of a bump, in spacings.

    Raises:
        ValueError: if there is no such entry, ``side`` is less than 2, or another number not positive.

    Example:
        >>> spec = EnvironmentSpec("maze", 4, 2, 4, 1000, 0.02, ("reach",))
        >>> RadialFeatures(spec, side=10).dim
        100
    """

    centres: Tensor
    entries: Tensor

    def __init__(
        self,
        spec: EnvironmentSpec,
        entries: list[str] | None = None,
        side: int = 8,
        reach: float = 1.7,
        width: float = 0.75,
    ) -> None:
        super().__init__()
        columns = spec.entries(spec.observation_names[:2] if entries is None else entries)
        if not columns:
            raise ValueError(f"radial features need entries to lie over ({', '.join(spec.observation_names)})")
        if side < 2:
            raise ValueError(f"side must be at least 2, got {side}")
        for name, value in (("reach", reach), ("width", width)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.dim = side ** len(columns)
        line = torch.linspace(-reach, reach, side)
        self.register_buffer("centres", torch.cartesian_prod(*[line] * len(columns)).reshape(self.dim, -1))
        self.register_buffer("entries", torch.tensor(columns), persistent=False)
        self._deviation = width * 2 * reach / (side - 1)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Bumps at s'; the other two arguments are not read."""
        away = (next_observation[..., None, self.entries] - self.centres) / self._deviation  # (*b, d, q)
        return torch.exp(-away.square().sum(-1) / 2)
