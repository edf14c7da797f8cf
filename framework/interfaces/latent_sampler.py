"""Latent samplers: the distribution of z in training and self-collection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

RELATIVE_RIDGE = 1e-3


@dataclass(frozen=True)
class LatentContext:
    """Inputs of a latent sampler: states to make z of, and their features."""

    observation: Tensor  # (N, o), standardised
    make_features: Callable[[], Tensor]  # (N, d), φ of these states; a solve that few samplers ask for
    goals: Tensor  # (N, d), for each row a z that reaches the state of another row
    policy_latent: Callable[[Tensor], Tensor]  # w (*b, d) -> z (*b, d)

    @cached_property
    def features(self) -> Tensor:  # (N, d)
        """Features φ of these states, computed on first use."""
        return self.make_features()

    def regress(self, rewards: Tensor) -> Tensor:  # (N, M) -> (M, d)
        """Latents of rewards at these states: policy_latent of the ridge regression's weights.

        w = (ΦᵀΦ / N + ε mean(diag ΦᵀΦ / N) I)⁻¹ Φᵀr / N
        """
        phi = self.features.float()
        moment = phi.mT @ phi / len(phi)
        ridge = RELATIVE_RIDGE * moment.diagonal().mean() * torch.eye(len(moment), device=phi.device)
        # Without a look at whether it succeeded, which would stop a GPU.
        root = torch.linalg.cholesky_ex(moment + ridge).L
        weights = torch.cholesky_solve(phi.mT @ rewards.float() / len(phi), root).mT
        return self.policy_latent(weights)


@dataclass(frozen=True)
class DrawnRewards:
    """Rewards that a sampler has drawn, at the states it drew them for.

    Args:
        entries: the entries of the observation that they are functions of, by name; standardised.
        rewards: a column a reward.
    """

    entries: Mapping[str, Tensor]  # name -> (N,)
    rewards: Tensor  # (N, M)


class LatentSampler(ABC):
    """Base class of latent samplers: the distribution of z in training and self-collection."""

    kind: ClassVar[str] = "latent_sampler"
    folder: ClassVar[str] = "latent_samplers"

    @abstractmethod
    def sample(self, context: LatentContext) -> Tensor:  # (N, d)
        """Latents, one for each row of the context, on ``policy_latent``'s sphere; drawn by torch's generator.

        Shapes do not depend on the numbers drawn, so that a draw can be recorded as a CUDA graph.
        """

    def draw_rewards(
        self,
        observation: Tensor,  # (N, o), standardised
    ) -> DrawnRewards | None:
        """Rewards as training draws them, for pictures; None for a sampler that draws z by no reward."""
        return None
