"""What beliefs make of some steps, and what to do where a step is none to learn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.calibration import Foretold, foretold
from bfmkit.inference.step_buffer import Steps
from bfmkit.interfaces import BFM, Posterior, QueryRule

LARGEST_REWARD = 1e100
"""The square of a larger one, times that of a feature, need not be a number any more."""

TOO_LARGE = "reward or features are too large to learn from: the belief would no longer be finite"


@dataclass(frozen=True)
class Learnt:
    """m runs after n steps."""

    belief: TensorDict  # batch (m,)
    foretold: Foretold | None  # what was expected of the rewards; None if nothing could be
    information: Tensor | None  # (m,), what the rewards told; None if nobody asked
    features: Tensor  # (m, n, d)
    reward: Tensor  # (m, n)
    observed: Tensor  # (m, n) bool on the CPU, what was learnt from but for steps from a broken one on
    broken: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    """Runs with a step that cannot be learnt from: row -> which one, and why. They know what came before it."""

    def lengths(self) -> Tensor:  # (m,) int64
        """How many of its steps each run knows."""
        lengths = torch.full((len(self.reward),), self.reward.shape[1])
        for row, (length, _) in self.broken.items():
            lengths[row] = length
        return lengths


@dataclass(frozen=True)
class Lesson:
    """m runs before some steps.

    Args:
        posterior: of their beliefs.
        bfm: whose features to learn with.
        belief: batch (m,).
        wants_information: whether to say how much the rewards tell.
    """

    posterior: Posterior
    bfm: BFM
    belief: TensorDict
    wants_information: bool = False

    def learn(
        self,
        steps: Steps,  # (m, n)
        query_rule: QueryRule | None = None,  # one that looks at features; n = 1 then
        labels: Tensor | None = None,  # (m,) int64, for the query rule
    ) -> Learnt:
        """All steps at once; where one cannot be learnt from, those before it."""
        runs, count = steps.reward.shape
        transitions = (part.flatten(0, 1) for part in (steps.observation, steps.action, steps.next_observation))
        features = self.bfm.features(*transitions)
        if features.shape != (runs * count, self.bfm.dim):
            # One tensor for all runs, so none of them can go on.
            width = f"features have shape {tuple(features.shape[1:])}, the model says ({self.bfm.dim},)"
            features = steps.reward.new_zeros(runs, count, self.bfm.dim)
            nothing = steps.reward.new_zeros(runs) if self.wants_information else None
            broken = dict.fromkeys(range(runs), (0, width))
            return Learnt(self.belief, None, nothing, features, steps.reward, steps.observed, broken)
        features, observed = features.unflatten(0, (runs, count)), steps.observed
        broken = {}
        if not math.isfinite(features.sum().item()):
            bad = ~features.isfinite().all(dim=-1).cpu()
            for row in bad.any(dim=-1).nonzero().squeeze(-1).tolist():
                broken[row] = (int(bad[row].int().argmax()), "features are not finite")
        if query_rule is not None and labels is not None:
            observed = observed & query_rule.should_query(
                self.posterior, self.belief, features[:, 0], labels
            ).cpu().unsqueeze(1)
        whole = observed
        if broken:
            whole = observed.clone()
            whole[list(broken)] = False
        taken = whole.to(features.device)
        belief = self.posterior.update_batch(self.belief, features, steps.reward, taken)
        for row in self._beyond(belief, steps.reward, taken):
            broken[row] = (self._first_beyond(row, features, steps.reward, taken), TOO_LARGE)
        known = foretold(self.posterior, self.belief, features, steps.reward, observed)
        told = self.posterior.joint_information_gain(self.belief, features, taken) if self.wants_information else None
        learnt = Learnt(belief, known, told, features, steps.reward, observed, broken)
        return self._mended(learnt) if broken else learnt

    def _beyond(self, belief: TensorDictBase, reward: Tensor, taken: Tensor) -> list[int]:
        """The rows whose rewards were too much for their beliefs."""
        mean = self.posterior.mean(belief)
        if math.isfinite(mean.sum().item()) and reward.abs().max().item() <= LARGEST_REWARD:
            return []
        beyond = ((reward.abs() > LARGEST_REWARD) & taken).any(dim=-1)
        beyond |= ~mean.isfinite().all(dim=-1) & taken.any(dim=-1)
        return beyond.nonzero().squeeze(-1).tolist()

    def _first_beyond(self, row: int, features: Tensor, reward: Tensor, taken: Tensor) -> int:
        """Which step was too much for the belief of a row."""
        belief: TensorDictBase = self.belief[row : row + 1]
        last = reward.shape[1] - 1
        for step in range(last):
            there = slice(row, row + 1), slice(step, step + 1)
            belief = self.posterior.update_batch(belief, features[there], reward[there], taken[there])
            if self._beyond(belief, reward[there], taken[there]):
                return step
        return last

    def _mended(self, learnt: Learnt) -> Learnt:
        """Rows with a broken step as the steps before it leave them."""
        belief, observed = learnt.belief.clone(), learnt.observed.clone()
        told = None if learnt.information is None else learnt.information.clone()
        for row, (length, _) in learnt.broken.items():
            rows = slice(row, row + 1)
            known, known_told = self.belief[rows], learnt.reward.new_zeros(1)
            observed[row, length:] = False
            if length > 0:
                part = learnt.features[rows, :length], learnt.reward[rows, :length]
                taken = learnt.observed[rows, :length].to(part[0].device)
                known = self.posterior.update_batch(known, *part, taken)
                if told is not None:
                    known_told = self.posterior.joint_information_gain(self.belief[rows], part[0], taken)
            belief[rows] = known
            if told is not None:
                told[rows] = known_told
        known_before = None if learnt.foretold is None else learnt.foretold._replace(observed=observed)
        return replace(learnt, belief=belief, foretold=known_before, information=told)
