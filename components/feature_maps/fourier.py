"""Random Fourier features of named entries of the observation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap
from bfmkit.registry import register
from bfmkit.utils.checks import require_positive


@register(FeatureMap, "fourier")
class FourierFeatures(FeatureMap):
    """Fixed sparse random Fourier features of named entries of the next observation, and a constant.

        φ_k(s, a, s') = √2 cos(w_kᵀx + b_k) for k < d,   φ_d = 1,   x = clip(s'[entries], ±clip)
        w_k ~ N(0, scale²) in ``entries_per_feature`` random entries and 0 elsewhere,   b_k ~ U(0, 2π)

    Rewards that are smooth functions of a few quantities are nearly linear in them. Nothing is learnt, so features do
    not drift during training, and the seed alone gives them again.

    Args:
        spec: sizes of the environment, and the names of its observation's entries.
        entries: which entries, by name.
        dim: d.
        scale: standard deviation of a frequency, for standardised observations.
        entries_per_feature: how many entries one feature reads, at most.
        clip: largest standardised entry; what lies beyond looks the same.
        seed: of w and b.

    Raises:
        ValueError: if there is no such entry, none is named, or a number is not positive.

    Example:
        >>> spec = EnvironmentSpec("walker", 2, 1, 2, 1000, 0.025, ("stand",), observation_names=("height", "speed"))
        >>> FourierFeatures(spec, ["height"], dim=8).features(torch.zeros(2), torch.zeros(1), torch.zeros(2)).shape
        torch.Size([8])

    Reference:
        Rahimi and Recht, Random features for large-scale kernel machines, 2007.
    """

    frequencies: Tensor
    phases: Tensor
    entries: Tensor

    def __init__(
        self,
        spec: EnvironmentSpec,
        entries: list[str],
        dim: int = 50,
        scale: float = 0.5,
        entries_per_feature: int = 3,
        clip: float = 6.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_positive(dim=dim, scale=scale, entries_per_feature=entries_per_feature, clip=clip)
        if not entries:
            raise ValueError(f"fourier features need entries to read ({', '.join(spec.observation_names)})")
        self.dim, self._clip = dim, clip
        generator = torch.Generator().manual_seed(seed)
        size = (len(entries), dim - 1)
        frequencies = scale * torch.randn(size, generator=generator)
        frequencies *= torch.rand(size, generator=generator).argsort(0).argsort(0) < entries_per_feature
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", 2 * math.pi * torch.rand(dim - 1, generator=generator))
        self.register_buffer("entries", torch.tensor(spec.entries(entries)), persistent=False)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """Waves at s'; the other two arguments are not read."""
        x = next_observation[..., self.entries].clamp(-self._clip, self._clip)
        waves = math.sqrt(2) * torch.cos(x @ self.frequencies + self.phases)
        return torch.cat([waves, torch.ones_like(waves[..., :1])], dim=-1)
