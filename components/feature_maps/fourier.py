"""Principal directions of random Fourier features of named entries of the observation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt


@register(FeatureMap, "fourier")
class FourierFeatures(FeatureMap):
    """Leading principal directions of sparse random Fourier features of named entries, and a constant.

        c_k(x) = √2 cos(w_kᵀx + b_k) for k ≤ num_frequencies,   c_0(x) = 1,   x = clip(s'[entries], ±clip)
        w_k ~ N(0, scale²) in ``entries_per_wave`` random entries and 0 elsewhere,   b_k ~ U(0, 2π)
        φ(s, a, s') = √(dim / (num_frequencies + 1)) · Qᵀc(x),   Q the ``dim`` leading eigenvectors of E[ccᵀ] over the
        data

    Rewards that are smooth functions of a few quantities are nearly linear in them. Few random waves of few quantities
    are nearly collinear, and regression then puts large weights on directions that hardly vary, far from all z that a
    model was trained on; the leading directions alone are well conditioned. Waves are drawn by the seed, Q is taken
    from data once before training, and nothing drifts afterwards.

    Args:
        spec: sizes of the environment, and the names of its observation's entries.
        entries: which entries, by name; all if not given.
        dim: d.
        num_frequencies: how many random waves the directions are taken from.
        scale: standard deviation of a frequency, for standardised observations.
        entries_per_wave: how many entries one wave reads, at most.
        clip: largest standardised entry; what lies beyond looks the same.
        seed: of w and b.

    Raises:
        ValueError: if there is no such entry, none is named, a number is not positive, or ``dim`` exceeds
            ``num_frequencies`` + 1.

    Example:
        ``features: {type: fourier, entries: [height, torso_upright], dim: 32}``

    Reference:
        Rahimi and Recht, Random features for large-scale kernel machines, 2007.
    """

    frequencies: Tensor
    phases: Tensor
    directions: Tensor
    entries: Tensor

    def __init__(
        self,
        spec: EnvironmentSpec,
        entries: list[str] | None = None,
        dim: PositiveInt = 32,
        num_frequencies: PositiveInt = 255,
        scale: PositiveFloat = 0.8,
        entries_per_wave: PositiveInt = 2,
        clip: PositiveFloat = 6.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        entries = list(spec.observation_names) if entries is None else entries
        if not entries:
            raise ValueError(f"fourier features need entries to read ({', '.join(spec.observation_names)})")
        if dim > num_frequencies + 1:
            raise ValueError(f"dim must be at most num_frequencies + 1, got {dim} and {num_frequencies}")
        self.dim, self._clip = dim, clip
        generator = torch.Generator().manual_seed(seed)
        size = (len(entries), num_frequencies)
        frequencies = scale * torch.randn(size, generator=generator)
        frequencies *= torch.rand(size, generator=generator).argsort(0).argsort(0) < entries_per_wave
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", 2 * math.pi * torch.rand(num_frequencies, generator=generator))
        self.register_buffer("directions", torch.eye(num_frequencies + 1, dim))
        self.register_buffer("entries", torch.tensor(spec.entries(entries)), persistent=False)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Principal directions at s'; the other two arguments are not read."""
        scale = math.sqrt(self.dim / len(self.directions))
        return scale * (self._waves(next_observation) @ self.directions)

    @torch.no_grad()
    def prepare(self, observation: Tensor) -> None:  # (n, o)
        """Take Q from states of the data; signs so that the largest entry of a direction is positive."""
        waves = self._waves(observation).double()
        directions = torch.linalg.eigh(waves.mT @ waves).eigenvectors.flip(1)[:, : self.dim]
        largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
        self.directions.copy_(directions * largest.sign())

    def _waves(self, observation: Tensor) -> Tensor:  # (*b, o) -> (*b, num_frequencies + 1)
        x = observation[..., self.entries].clamp(-self._clip, self._clip)
        waves = math.sqrt(2) * torch.cos(x @ self.frequencies + self.phases)
        return torch.cat([waves, torch.ones_like(waves[..., :1])], dim=-1)
