"""Simulation of a rule in a finite MDP, many runs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, Posterior, ScheduleState
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.pool_model import PoolModel
from bfmkit.regret.rules import Rule
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.policy_pool import PolicyPool
from bfmkit.utils.rng import generator

BLOCK = 64
"""Episodes whose random numbers are drawn together; part of what a seed means."""


class Runs(NamedTuple):
    """What B runs came to."""

    regret: np.ndarray  # (B, N), what each episode cost, in expectation
    inside: np.ndarray  # (B,) bool, whether the true weights never left the confidence set
    choices: np.ndarray  # (B,), how many times a policy was chosen


class Numbers(NamedTuple):
    """The random numbers of an episode, the same for every rule."""

    uniform: Tensor  # (B, H + 1), of the first state and the moves
    noise: Tensor  # (B, H), of the rewards
    direction: Tensor  # (B, d), of the rule


def simulate(
    mdp: FiniteMDP,
    pool: PolicyPool,
    posterior: Posterior,
    rule: Rule,
    bound: RegretBound,
    seeds: Sequence[int],  # B of them
    episodes: int,
    on_episode: Callable[[], None] = lambda: None,
) -> Runs:
    """Play N episodes with each seed; a run is a function of its seed, to rounding."""
    tasks = torch.tensor([int(generator(seed, "regret task", 0).integers(len(pool.directions))) for seed in seeds])
    table = _Table(mdp, pool, posterior, rule, bound, tasks)
    regret = np.zeros((len(seeds), episodes))
    for episode in range(episodes):
        if episode % BLOCK == 0:
            block = _draw(seeds, episode // BLOCK, bound.horizon, bound.dim)
        regret[:, episode] = table.episode(Numbers(*(numbers[:, episode % BLOCK] for numbers in block)))
        on_episode()
    return Runs(regret, table.inside.numpy(), table.choices.numpy())


class _Table:
    """B runs at one MDP, and what they believe."""

    def __init__(
        self, mdp: FiniteMDP, pool: PolicyPool, posterior: Posterior, rule: Rule, bound: RegretBound, tasks: Tensor
    ) -> None:
        runs = len(tasks)
        self.pool, self.posterior, self.rule, self.bound, self.tasks = pool, posterior, rule, bound, tasks
        self.features = mdp.features
        self.start = _cumulative(mdp.start).expand(runs, -1)
        self.moves = _cumulative(mdp.transitions)
        self.weights = bound.weight_norm * pool.directions[tasks]
        values = self.weights @ pool.start_features.mT  # (B, P)
        self.losses = values.amax(-1, keepdim=True) - values
        self.model = PoolModel(mdp, pool, bound.discount)
        self.acquisition = rule.build_acquisition(pool, bound)
        self.schedule = rule.build_schedule(bound)
        self.belief: TensorDict = posterior.prior(runs, bound.dim)
        self.discounts = bound.discount ** torch.arange(bound.horizon, dtype=torch.float64)
        self.inside = torch.ones(runs, dtype=torch.bool)
        self.choices = torch.zeros(runs, dtype=torch.int64)
        self.chosen = torch.zeros(runs, bound.dim, dtype=torch.float64)
        self.asked, self.waited, self.lived = (torch.zeros(runs, dtype=torch.int64) for _ in range(3))
        self.information = torch.zeros(runs, dtype=torch.float64)  # ln det V at the last choice

    def episode(self, numbers: Numbers) -> Tensor:  # (B,)
        """One episode; what it costs."""
        losses = self._stepwise(numbers) if self.rule.each_step else self._one_policy(numbers)
        self.lived += 1
        return losses

    def _one_policy(self, numbers: Numbers) -> Tensor:  # (B,)
        policy = self._choose(self.model.before, numbers.direction)
        if self.rule.learns:
            self._learn(*self._walk(policy, numbers))
        return self.losses.gather(-1, policy.unsqueeze(-1)).squeeze(-1)

    def _choose(
        self,
        observation: Tensor,  # (B, 1), or (1, 1) for all of them
        direction: Tensor,  # (B, d)
    ) -> Tensor:  # (B,)
        """The policy to follow from here on, by what was chosen last where nothing is due."""
        if self.rule.acquisition == "ucb":
            self._check()
        information = self.posterior.log_determinant(self.belief)
        due = (self.choices == 0) | self.schedule.due(
            ScheduleState(self.asked, self.waited, information - self.information)
        )
        if due.any():
            context = AcquisitionContext(
                self.posterior, self.belief, self.model, observation, self.chosen, direction, self.lived
            )
            self.chosen = torch.where(due.unsqueeze(-1), self.acquisition.propose(context), self.chosen)
            self.information = torch.where(due, information, self.information)
            self.waited = torch.where(due, 0, self.waited)
            self.choices += due
        self.asked += 1
        self.waited += 1
        return self.model.policy(observation, self.chosen)

    def _check(self) -> None:
        """Whether the confidence set still holds the true weights."""
        error = self.posterior.mean(self.belief) - self.weights
        distance = (error.unsqueeze(1) @ self.belief["precision"] @ error.unsqueeze(-1)).flatten()
        self.inside &= distance <= self.bound.confidence.of(self.posterior, self.belief).square()

    def _walk(self, policy: Tensor, numbers: Numbers) -> tuple[Tensor, Tensor]:  # (B, n, d), (B, n)
        """The labels of an episode."""
        state = _draw_state(self.start, numbers.uniform[:, 0])
        met = []
        for step in range(self.bound.horizon):
            state = self._move(state, self.pool.actions[step, policy, state], numbers.uniform[:, step + 1])
            met.append(self.features[state])
        features = torch.stack(met, 1)
        reward = (features @ self.weights.unsqueeze(-1)).squeeze(-1) + numbers.noise
        if not self.rule.returns_only:
            return features, reward
        scaled = self.discounts / self.bound.scale
        return (scaled @ features).unsqueeze(1), (reward @ scaled).unsqueeze(1)

    def _stepwise(self, numbers: Numbers) -> Tensor:  # (B,)
        state = _draw_state(self.start, numbers.uniform[:, 0])
        cost = torch.zeros(len(state), dtype=torch.float64)
        for step in range(self.bound.horizon):
            policy = self._choose(self.model.place(step, state), numbers.direction)
            action = self.pool.actions[step, policy, state]
            cost += self.discounts[step] * self.pool.gaps[step, self.tasks, state, action]
            state = self._move(state, action, numbers.uniform[:, step + 1])
            features = self.features[state]
            self._learn(
                features.unsqueeze(1), ((features * self.weights).sum(-1) + numbers.noise[:, step]).unsqueeze(1)
            )
        return self.bound.weight_norm * cost

    def _learn(self, features: Tensor, reward: Tensor) -> None:  # (B, n, d), (B, n)
        self.belief = self.posterior.condition_on(self.belief, features, reward)

    def _move(self, state: Tensor, action: Tensor, uniform: Tensor) -> Tensor:  # (B,) each
        return _draw_state(self.moves[state, action], uniform)


def _draw(seeds: Sequence[int], block: int, horizon: int, dim: int) -> Numbers:
    """Of :data:`BLOCK` episodes, one dimension more in front of an episode's own."""
    generators = [generator(seed, "regret", block) for seed in seeds]
    uniform = np.stack([each.random((BLOCK, horizon + 1)) for each in generators])
    noise = np.stack([each.standard_normal((BLOCK, horizon)) for each in generators])
    direction = np.stack([each.standard_normal((BLOCK, dim)) for each in generators])
    return Numbers(torch.from_numpy(uniform), torch.from_numpy(noise), torch.from_numpy(direction))


def _cumulative(probabilities: Tensor) -> Tensor:  # (*b, S)
    """Divided by the last entry, so that a number below 1 always falls on a state that can be reached."""
    cumulative = probabilities.cumsum(-1)
    return cumulative / cumulative[..., -1:]


def _draw_state(cumulative: Tensor, uniform: Tensor) -> Tensor:  # (B, S), (B,) -> (B,)
    return torch.searchsorted(cumulative.contiguous(), uniform.unsqueeze(-1).contiguous(), right=True).squeeze(-1)
