"""Improvers: fine-tuning of the inferred policy while it acts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces.bfm import BFM


@dataclass(frozen=True)
class InferredTask:
    """Inferred latent, step count and weights of B runs."""

    z: Tensor  # (B, d), the latent it would act with
    step: Tensor  # (B,) int64 on the CPU, environment steps so far
    weights: Callable[[], Tensor]
    """ŵ, (B, d) float64: the posterior mean; worked out when it is asked for."""


@dataclass(frozen=True)
class ObservedStep:
    """One environment step of B runs; ``observed`` leaves out rows that did not move or have no reward."""

    observation: Tensor  # (B, o)
    action: Tensor  # (B, a)
    next_observation: Tensor  # (B, o)
    reward: Tensor  # (B,) float64, zero where not observed
    moved: Tensor  # (B,) bool on the CPU
    observed: Tensor  # (B,) bool on the CPU
    improved: Tensor  # (B,) bool on the CPU, rows whose action the improver gave


class Improver(ABC):
    """Base class of improvers: fine-tuning of the inferred policy of B runs from observed rewards.

    The agent ``fine_tuning`` calls it. All it remembers is in :attr:`state`; :meth:`choose` and :meth:`act` give the
    same answer when they are asked twice in one step. Rows outside a mask stand still: nothing of them changes.

    It is started with every run; :meth:`anchor` says once, for each run, that inference is over its first episodes.
    From then on it may be asked to act, and the inferred policy of that moment is what it moves from.
    """

    kind: ClassVar[str] = "improver"
    folder: ClassVar[str] = "improvers"

    needs_weights: ClassVar[bool] = False
    """Whether there must be inferred weights other than zero to move from; :meth:`anchor` waits for them then."""

    bfm: BFM
    seeds: tuple[int, ...]
    device: torch.device

    state: TensorDict
    """Batch (B,): everything it has learnt."""

    def start(self, bfm: BFM, seeds: Sequence[int], device: torch.device) -> None:
        """Reset to B = len(seeds) new runs of a model."""
        self.bfm, self.seeds, self.device = bfm, tuple(seeds), device
        self.state = TensorDict(self.prepare(), batch_size=[len(self.seeds)])

    @abstractmethod
    def prepare(self) -> dict[str, Any]:
        """Initial entries of the state, batch (B,)."""

    def anchor(self, inferred: InferredTask, runs: Tensor) -> None:  # noqa: B027
        """Fix the inferred policy of the runs of a mask (B,) as the one to improve."""

    def begin_episode(self, inferred: InferredTask, runs: Tensor) -> None:  # noqa: B027
        """Start an episode in the runs of a mask (B,)."""

    def choose(
        self,
        observation: Tensor,  # (B, o)
        inferred: InferredTask,
        runs: Tensor,  # (B,) bool, the rows that are asked
    ) -> Tensor:  # (B, d)
        """Latent z to act with; the inferred one unless overridden."""
        return inferred.z

    def act(
        self,
        observation: Tensor,  # (B, o)
        z: Tensor,  # (B, d), from :meth:`choose`
        inferred: InferredTask,
    ) -> Tensor:  # (B, a)
        """Action in [-1, 1]; that of π_z unless overridden."""
        return self.bfm.act(observation, z)

    @abstractmethod
    def learn(self, step: ObservedStep, inferred: InferredTask, anchored: Tensor) -> None:
        """Update from one step of the runs, whichever policy acted; ``anchored`` (B,) are those past :meth:`anchor`."""
