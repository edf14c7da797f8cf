"""One rule to learn with, another to earn with."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bfmkit.interfaces import Acquisition, Situation
from bfmkit.registry import register


@register(Acquisition, "explore_then_commit")
class ExploreThenCommit(Acquisition):
    """One rule until a run's belief has taken in so many rewards, another from then on; the belief learns all along.

    A bound that is wide enough for rewards that the features express only in part goes on exploring for longer than
    such a reward is worth; a narrow one settles on what the first policies happened to show. Two rules, one after the
    other, need no compromise.

    Args:
        explore: the first rule.
        commit: the second, ``greedy`` as a rule.
        labels: how many rewards the first rule gathers. Rewards that a gate keeps out, or that never come, do not
            count.

    Raises:
        ValueError: if ``labels`` is negative.

    Reference:
        Garivier, Kaufmann and Lattimore, On Explore-Then-Commit Strategies, 2016.
    """

    def __init__(self, explore: Acquisition, commit: Acquisition, labels: int = 3000) -> None:
        super().__init__()
        if labels < 0:
            raise ValueError(f"labels must not be negative, got {labels}")
        self.explore = explore
        self.commit = commit
        self.labels = labels

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (sum(math.prod(rule.noise_shape(dim)) for rule in (self.explore, self.commit)),)

    def propose(self, situation: Situation) -> Tensor:  # (B, d)
        committed = situation.labels >= self.labels
        explore, commit = self._noises(situation)
        if committed.all():
            return self.commit.propose(commit)
        explored = self.explore.propose(explore)
        if not committed.any():
            return explored
        return torch.where(committed.unsqueeze(-1), self.commit.propose(commit), explored)

    def _noises(self, situation: Situation) -> list[Situation]:
        """The situation with the noise of the first rule, and with that of the second."""
        shapes = [rule.noise_shape(situation.weights.shape[-1]) for rule in (self.explore, self.commit)]
        parts = situation.noise.split([math.prod(shape) for shape in shapes], dim=-1)
        return [
            replace(situation, noise=part.reshape(len(part), *shape)) for part, shape in zip(parts, shapes, strict=True)
        ]
