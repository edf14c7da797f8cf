"""Bumps on a grid of places."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register


@register(FeatureMap, "radial")
class RadialFeatures(FeatureMap):
    """One bump around each point of a grid over the first two observations, for bodies whose place these are.

        φ_k(s, a, s') = exp(−‖x' − c_k‖² / 2σ²),   x' = (s'_1, s'_2),   σ = width · the grid's spacing

    Each weight is what one place is worth: a reward of the place that varies no faster than the grid is nearly linear
    in them, and one at a single place nearly a single weight.

    Args:
        spec: sizes of the environment.
        side: grid points along a side; d is its square.
        reach: the grid spans ±this, in standardised observations.
        width: of a bump, in spacings.

    Raises:
        ValueError: if there are no two observations, ``side`` is less than 2, or another number not positive.
    """

    centres: Tensor

    def __init__(self, spec: EnvironmentSpec, side: int = 8, reach: float = 1.7, width: float = 0.75) -> None:
        super().__init__()
        if spec.observation_size < 2:
            raise ValueError(f"radial features need two observations to lie over, {spec.domain} has one")
        if side < 2:
            raise ValueError(f"side must be at least 2, got {side}")
        for name, value in (("reach", reach), ("width", width)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.dim = side**2
        line = torch.linspace(-reach, reach, side)
        self.register_buffer("centres", torch.cartesian_prod(line, line))
        self._deviation = width * 2 * reach / (side - 1)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Bumps at s'; the other two arguments are not looked at."""
        away = (next_observation[..., None, :2] - self.centres) / self._deviation  # (*b, d, 2)
        return torch.exp(-away.square().sum(-1) / 2)
