"""Generalised policy improvement over the last latents."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from bfmkit.interfaces import Improver, InferredTask, ObservedStep
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Improver, "gpi")
class GPIImprover(Improver):
    r"""Generalised policy improvement: at every step the best of the last few z by the critics.

    z ← argmax_j agg_e ψ_e(s, π_j(s), z_j)ᵀŵ,  j over the inferred z and the last ``count`` that inference chose

    With exact successor features it earns at least what the best of these policies does. Nothing is trained.

    Args:
        count: how many earlier z are compared.
        every: steps between two that are remembered; neighbours in time hardly differ.
        ensemble: agg, the minimum over critics or their mean.

    Raises:
        ValueError: if ``count`` or ``every`` is less than 1, or ``ensemble`` another word.

    Reference:
        Barreto et al., Successor features for transfer in reinforcement learning, 2017, theorem 1.

    Example:
        ``agent.improver={type: gpi, count: 16}``
    """

    def __init__(
        self, count: PositiveInt = 8, every: PositiveInt = 100, ensemble: Literal["min", "mean"] = "min"
    ) -> None:
        self.count, self.every, self.ensemble = count, every, ensemble

    def prepare(self) -> dict[str, Any]:
        runs = len(self.seeds)
        latents = torch.zeros(runs, self.count, self.bfm.dim, device=self.device)
        return {"latents": latents, "known": torch.zeros(runs, dtype=torch.int64)}

    @torch.no_grad()
    def choose(self, observation: Tensor, inferred: InferredTask, runs: Tensor) -> Tensor:  # (B, d)
        earlier = self.state["latents"].to(inferred.z.dtype)
        candidates = torch.cat([inferred.z.unsqueeze(1), earlier], 1)  # (B, k, d)
        successor_features = self.bfm.candidate_successor_features(observation, candidates)  # (B, k, E, d)
        values = (successor_features.double() @ inferred.weights()[:, None, :, None]).squeeze(-1)
        values = values.amin(-1) if self.ensemble == "min" else values.mean(-1)
        known = torch.arange(1 + self.count) <= self.state["known"].unsqueeze(-1)
        best = values.masked_fill(~known.to(values.device), -torch.inf).argmax(-1)
        return candidates[torch.arange(len(best), device=best.device), best]

    def learn(self, step: ObservedStep, inferred: InferredTask, anchored: Tensor) -> None:
        due = step.moved & (inferred.step % self.every == 0)
        if due.any():
            rows = due.nonzero().squeeze(-1)
            moved = self.state["latents"][rows].roll(1, 1)
            moved[:, 0] = inferred.z[rows.to(self.device)].to(moved.dtype)
            self.state["latents"][rows] = moved
            self.state["known"].add_(due).clamp_(max=self.count)
