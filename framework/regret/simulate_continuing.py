"""Plays a finite MDP without episodes, the policy chosen at single steps, many runs at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from bfmkit.regret.continuing_bound import ContinuingBound
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.stationary_pool import StationaryPool
from bfmkit.utils.rng import generator

BLOCK = 1000
"""Steps whose random numbers are drawn together; part of what a seed means."""


@dataclass(frozen=True)
class ContinuingRule:
    """How policies are chosen."""

    index: Literal["ucb", "thompson", "greedy", "random"]
    """``ucb`` with the radius of the bound; ``thompson`` draws from N(ŵ, V⁻¹)."""
    each_step: bool = False  # chooses at every step instead of when det V has grown
    grows: bool = False  # whether the radius has the term ε√t


CONTINUING_RULES = {
    "determinant": ContinuingRule("ucb"),
    "determinant_growing": ContinuingRule("ucb", grows=True),
    "each_step": ContinuingRule("ucb", each_step=True),
    "thompson": ContinuingRule("thompson"),
    "greedy": ContinuingRule("greedy"),
    "random": ContinuingRule("random", each_step=True),
}


class ContinuingRuns(NamedTuple):
    """What B runs came to after the steps of a grid."""

    regret: np.ndarray  # (B, k), Σ (g* − r_t), r_t without noise
    losses: np.ndarray  # (B, k), Σ (g* + h(s) − E[r + h(s') | s, a]), h the bias of the best policy of the pool
    closest: np.ndarray  # (B,), the largest share of the bound over all steps
    inside: np.ndarray  # (B,) bool, whether w was in the confidence set at every choice
    choices: np.ndarray  # (B,)


def simulate_continuing(
    mdp: FiniteMDP,
    pool: StationaryPool,
    rule: ContinuingRule,
    bound: ContinuingBound,
    weights: np.ndarray,  # (B, d), of each run's task
    errors: np.ndarray,  # (S,), ε(s), what φᵀw leaves out of the reward
    seeds: Sequence[int],  # B of them
    grid: np.ndarray,  # (k,) increasing
    on_block: Callable[[int], None] = lambda _: None,
) -> ContinuingRuns:
    """Play T = grid[-1] steps with each seed; all rules meet the same random numbers.

    Losses are what regret is in expectation, but for at most the span of h: without the chance of where steps led, and
    0 while the best policy is followed.
    """
    table = _Table(mdp, pool, rule, bound, weights, errors)
    total = int(grid[-1])
    steps = np.arange(1, total + 1)
    bounds, kept = bound.regret(steps), np.isin(steps, grid)
    sums = np.zeros((2, len(seeds), 1))  # regret and losses
    curves: list[np.ndarray] = []
    closest = np.full(len(seeds), -np.inf)
    for block, first in enumerate(range(0, total, BLOCK)):
        draws = [generator(seed, "continuing regret", block) for seed in seeds]
        uniform = np.stack([draw.random(BLOCK) for draw in draws])
        noise = np.stack([draw.standard_normal(BLOCK) for draw in draws])
        direction = np.stack([draw.standard_normal((BLOCK, bound.dim)) for draw in draws])
        end, stride = min(total, first + BLOCK), 1 if rule.each_step else BLOCK
        for at in range(first, end, stride):
            here = slice(at, min(end, at + stride))
            now = slice(here.start - first, here.stop - first)
            sums = sums[..., -1:] + table.play(at, uniform[:, now], noise[:, now], direction[:, now]).cumsum(-1)
            np.maximum(closest, (sums[0] / bounds[here]).max(1), out=closest)
            curves.append(sums[..., kept[here]])
        on_block(end - first)
    regret, losses = np.concatenate(curves, -1)
    return ContinuingRuns(regret, losses, closest, table.inside, table.choices)


class _Table:
    """What all runs know, and where they are."""

    def __init__(
        self,
        mdp: FiniteMDP,
        pool: StationaryPool,
        rule: ContinuingRule,
        bound: ContinuingBound,
        weights: np.ndarray,
        errors: np.ndarray,
    ) -> None:
        runs, dim = weights.shape
        self.rule, self.bound, self.weights = rule, bound, weights
        self.features, self.gains, self.actions = mdp.features.numpy(), pool.gains.numpy(), pool.actions.numpy()
        transitions = mdp.transitions.numpy()
        cumulative = transitions.cumsum(-1)
        self.moves = cumulative / cumulative[..., -1:]
        self.rewards = weights @ self.features.T + errors  # (B, S)
        values = weights @ self.gains.T + pool.occupancy.numpy() @ errors  # (B, P)
        self.best = values.max(1)
        best = torch.from_numpy(values.argmax(1))
        bias = pool.bias(mdp, best, torch.from_numpy(self.rewards)).numpy()  # (B, S)
        ahead = np.einsum("sat,bt->bsa", transitions, self.rewards + bias)
        self.losses = self.best[:, None, None] + bias[:, :, None] - ahead  # (B, S, A)
        self.state = np.zeros(runs, dtype=np.int64)
        self.precision = np.tile(bound.regularization * np.eye(dim), (runs, 1, 1))
        self.sums = np.zeros((runs, dim))
        self.threshold = np.full(runs, -np.inf)  # of ln det V, above which a policy is chosen
        self.policy, self.choices = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64)
        self.inside = np.ones(runs, dtype=bool)

    def play(
        self,
        step: int,  # how many have been played
        uniform: np.ndarray,  # (B, n)
        noise: np.ndarray,  # (B, n)
        direction: np.ndarray,  # (B, n, d)
    ) -> np.ndarray:  # (2, B, n), g* − r and the expected loss of each step
        """Play n steps; a rule that chooses at each step chooses before the first of them alone.

        V of a run only grows, so where it has not grown enough by the end no policy was due on the way.
        """
        runs, count = uniform.shape
        path, policies = np.empty((runs, count + 1), dtype=np.int64), np.empty((runs, count), dtype=np.int64)
        path[:, 0] = self.state
        rows, start = np.arange(runs), np.zeros(runs, dtype=np.int64)
        due = np.linalg.slogdet(self.precision)[1] > self.threshold
        self._choose(rows[due], self.precision[due], self.sums[due], step + start[due], direction[due, 0])
        while rows.size:
            policies[rows] = np.where(np.arange(count) < start[:, None], policies[rows], self.policy[rows, None])
            self._walk(rows, int(start.min()), path, policies, uniform)
            rows, start, precision = self._due(rows, path)
            x = self.features[path[rows, 1:]]
            labels = np.take_along_axis(self.rewards[rows], path[rows, 1:], 1) + noise[rows]
            taken = np.where(np.arange(count) < start[:, None], labels, 0.0)
            sums = self.sums[rows] + np.einsum("bn,bnd->bd", taken, x)
            self._choose(rows, precision, sums, step + start, direction[rows, start])
        x = self.features[path[:, 1:]]
        reward = np.take_along_axis(self.rewards, path[:, 1:], 1)
        self.state = path[:, -1]
        self.precision += x.mT @ x
        self.sums += np.einsum("bn,bnd->bd", reward + noise, x)
        actions = self.actions[policies, path[:, :-1]]
        losses = self.losses[np.arange(runs)[:, None], path[:, :-1], actions]
        return np.stack([self.best[:, None] - reward, losses])

    def _walk(self, rows: np.ndarray, first: int, path: np.ndarray, policies: np.ndarray, uniform: np.ndarray) -> None:
        for place in range(first, uniform.shape[1]):
            here = path[rows, place]
            moves = self.moves[here, self.actions[policies[rows, place], here]]
            path[rows, place + 1] = (moves > uniform[rows, place, None]).argmax(1)

    def _due(self, rows: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs that choose again before the last of the steps, after how many, and V by then; by bisection."""
        if self.rule.each_step:
            return rows[:0], rows[:0], self.precision[:0]
        count = path.shape[1] - 2
        rows = rows[self._grown(rows, path, np.full(len(rows), count))[0]]
        low, high = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), count)
        while (high - low > 1).any():
            middle = (low + high) // 2
            grown, _ = self._grown(rows, path, middle)
            low, high = np.where(grown, low, middle), np.where(grown, middle, high)
        return rows, high, self._grown(rows, path, high)[1]

    def _grown(self, rows: np.ndarray, path: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether V has grown enough after that many steps of the path, and V."""
        x = self.features[path[rows, 1 : 1 + steps.max(initial=0)]]
        passed = np.arange(x.shape[1]) < steps[:, None]
        precision = self.precision[rows] + (x * passed[..., None]).mT @ x
        return np.linalg.slogdet(precision)[1] > self.threshold[rows], precision

    def _choose(
        self, rows: np.ndarray, precision: np.ndarray, sums: np.ndarray, steps: np.ndarray, direction: np.ndarray
    ) -> None:
        bound, growth = self.bound, np.linalg.slogdet(precision)[1]
        covariance = np.linalg.inv(precision)
        mean = np.einsum("bij,bj->bi", covariance, sums)
        information = np.maximum(growth - bound.dim * math.log(bound.regularization), 0.0)
        radius = bound.radius(information, steps * float(self.rule.grows))
        error = mean - self.weights[rows]
        distance = np.einsum("bi,bij,bj->b", error, precision, error)
        self.inside[rows] &= distance <= radius**2
        if self.rule.index == "ucb":
            widths = np.einsum("pi,bij,pj->bp", self.gains, covariance, self.gains)
            index = mean @ self.gains.T + radius[:, None] * np.sqrt(widths)
        else:
            point = {"greedy": mean, "random": direction, "thompson": mean}[self.rule.index]
            if self.rule.index == "thompson":
                point = mean + np.einsum("bij,bj->bi", np.linalg.cholesky(covariance), direction)
            index = point @ self.gains.T
        self.policy[rows] = index.argmax(1)
        self.threshold[rows] = -np.inf if self.rule.each_step else growth + math.log(bound.factor)
        self.choices[rows] += 1
