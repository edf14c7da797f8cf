"""HILP features of a state: its centred place in a space whose distances are times."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, FeatureMap, Networks
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(FeatureMap, "hilp_state")
class HilpStateFeatures(EncodedFeatures):
    """HILP features φ(s, a, s') = e(s') − m, m the mean of e over the data: the place in the space of times.

    The objective ``hilp`` makes ‖e(s) − e(g)‖ the time from s to g. Such codes lie anywhere in space, and have no
    length of their own; without their mean, rewards of both signs are linear in them.

    Args:
        spec: sizes of the environment.
        networks: the architecture of e (its ``encoder``).
        dim: d.

    Raises:
        ValueError: if ``dim`` is not positive.

    Example:
        ``features: {type: hilp_state, dim: 50, networks: {type: two_stream}}``

    Reference:
        Park et al., Foundation policies with Hilbert representations, 2024, section 5.
    """

    mean: Tensor

    def __init__(self, spec: EnvironmentSpec, networks: Networks, dim: PositiveInt = 50) -> None:
        super().__init__(spec, networks, dim, normalised=False)
        self.register_buffer("mean", torch.zeros(dim))

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """e(s') − m; the other two arguments are not looked at."""
        return self.encode(next_observation) - self.mean

    @torch.no_grad()
    def fit(
        self,
        observation: Tensor,  # (N, o)
        action: Tensor,  # (N, a)
        next_observation: Tensor,  # (N, o)
        rate: Tensor | float = 1.0,
    ) -> None:
        """Move m by ``rate`` towards the mean of e(s')."""
        self.mean.add_(rate * (self.encode(next_observation).mean(0) - self.mean))
