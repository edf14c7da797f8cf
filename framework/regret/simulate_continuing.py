"""Plays a finite MDP without episodes, the policy chosen at single steps, many runs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bfmkit.regret.continuing_bound import ContinuingBound
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.stationary_pool import StationaryPool
from bfmkit.utils.rng import generator

BLOCK = 1000
"""Steps whose random numbers are drawn together, and after which V⁻¹ is worked out anew; part of what a seed means."""


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
    gaps: np.ndarray  # (B, k), Σ (g* − g_π), of the policies followed
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

    ŵ and V⁻¹ are kept by rank-one updates, which are exact to rounding and renewed once a block: T is large.
    """
    table = _Table(mdp, pool, rule, bound, weights, errors)
    total, kept = int(grid[-1]), {int(step): column for column, step in enumerate(grid)}
    regret, gaps = np.zeros((len(seeds), len(grid))), np.zeros((len(seeds), len(grid)))
    bounds = bound.regret(np.arange(1, total + 1))
    closest = np.full(len(seeds), -np.inf)
    for block in range(-(-total // BLOCK)):
        draws = [generator(seed, "continuing regret", block) for seed in seeds]
        uniform = np.stack([draw.random(BLOCK) for draw in draws])
        noise = np.stack([draw.standard_normal(BLOCK) for draw in draws])
        direction = np.stack([draw.standard_normal((BLOCK, bound.dim)) for draw in draws])
        table.renew()
        last = min(total, (block + 1) * BLOCK)
        for step in range(block * BLOCK, last):
            place = step % BLOCK
            table.step(step, uniform[:, place], noise[:, place], direction[:, place])
            np.maximum(closest, table.regret / bounds[step], out=closest)
            if step + 1 in kept:
                regret[:, kept[step + 1]], gaps[:, kept[step + 1]] = table.regret, table.gap
        on_block(last - block * BLOCK)
    return ContinuingRuns(regret, gaps, closest, table.inside, table.choices)


class _Table:
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
        cumulative = mdp.transitions.numpy().cumsum(-1)
        self.moves = cumulative / cumulative[..., -1:]
        self.rewards = weights @ self.features.T + errors  # (B, S)
        values = weights @ self.gains.T + pool.occupancy.numpy() @ errors  # (B, P)
        self.best = values.max(1)
        self.losses = self.best[:, None] - values
        self.rows = np.arange(runs)
        self.state = np.zeros(runs, dtype=np.int64)
        self.precision = np.tile(bound.regularization * np.eye(dim), (runs, 1, 1))
        self.covariance = np.linalg.inv(self.precision)
        self.sums = np.zeros((runs, dim))
        self.information, self.at_choice = np.zeros(runs), np.full(runs, -np.inf)
        self.policy, self.choices = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64)
        self.inside = np.ones(runs, dtype=bool)
        self.regret, self.gap = np.zeros(runs), np.zeros(runs)

    def renew(self) -> None:
        """V⁻¹ and det V from V itself."""
        self.covariance = np.linalg.inv(self.precision)
        self.information = np.linalg.slogdet(self.precision)[1] - self.precision.shape[-1] * np.log(
            self.bound.regularization
        )

    def step(self, step: int, uniform: np.ndarray, noise: np.ndarray, direction: np.ndarray) -> None:
        due = self.information > self.at_choice + np.log(self.bound.factor)
        if self.rule.each_step:
            due = np.ones_like(due)
        if due.any():
            self._choose(np.flatnonzero(due), step, direction)
        moves = self.moves[self.state, self.actions[self.policy, self.state]]
        self.state = (moves > uniform[:, None]).argmax(1)
        x, reward = self.features[self.state], self.rewards[self.rows, self.state]
        self.regret += self.best - reward
        self.gap += self.losses[self.rows, self.policy]
        self._learn(x, reward + noise)

    def _learn(self, x: np.ndarray, reward: np.ndarray) -> None:
        """Sherman and Morrison's update."""
        moved = np.einsum("bij,bj->bi", self.covariance, x)
        growth = 1 + np.einsum("bi,bi->b", moved, x)
        self.covariance -= moved[:, :, None] * (moved / growth[:, None])[:, None, :]
        self.precision += x[:, :, None] * x[:, None, :]
        self.sums += x * reward[:, None]
        self.information += np.log(growth)

    def _choose(self, rows: np.ndarray, step: int, direction: np.ndarray) -> None:
        covariance = self.covariance[rows]
        mean = np.einsum("bij,bj->bi", covariance, self.sums[rows])
        bound = self.bound
        information = np.maximum(self.information[rows], 0.0)
        radius = bound.radius(information, float(step if self.rule.grows else 0))
        error = mean - self.weights[rows]
        distance = np.einsum("bi,bij,bj->b", error, self.precision[rows], error)
        self.inside[rows] &= distance <= radius**2
        if self.rule.index == "ucb":
            widths = np.einsum("pi,bij,pj->bp", self.gains, covariance, self.gains)
            index = mean @ self.gains.T + radius[:, None] * np.sqrt(widths)
        else:
            point = {"greedy": mean, "random": direction[rows], "thompson": mean}[self.rule.index]
            if self.rule.index == "thompson":
                point = mean + np.einsum("bij,bj->bi", np.linalg.cholesky(covariance), direction[rows])
            index = point @ self.gains.T
        self.policy[rows] = index.argmax(1)
        self.at_choice[rows] = self.information[rows]
        self.choices[rows] += 1
