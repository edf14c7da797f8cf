"""Returns of policies against the model's predictions of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.evaluation.diagnostics.predictions import comparable, discounted_returns, predictions
from bfmkit.evaluation.diagnostics.rollouts import Rollouts, rollout
from bfmkit.interfaces import BFM, Environment
from bfmkit.utils.rng import generator

MOST_POINTS = 2000
"""Predictions that are compared, at most."""


@dataclass(frozen=True)
class PolicyEvaluation:
    """One episode in each of B rows, each for weights of its own."""

    rollouts: Rollouts
    features: Tensor  # (T, B, d), zero once a row's episode is over
    row: Tensor  # (n,) int64, the row that each comparison is from
    predicted: Tensor  # (n,) ψᵀw
    returns: Tensor  # (n,) of the rewards compared with

    @property
    def mean_features(self) -> Tensor:  # (B, d)
        """φ averaged over each episode."""
        return self.features.sum(0) / self.rollouts.running.sum(0).clamp(min=1).unsqueeze(-1)

    def transitions(self) -> TensorDict:  # batch (n,)
        """All steps that were taken, as an inference set."""
        taken = self.rollouts.running
        following = {"observation": self.rollouts.next_observation[taken], "physics": self.rollouts.physics[taken]}
        count = int(taken.sum())
        return TensorDict(
            {
                "observation": self.rollouts.observation[taken],
                "action": self.rollouts.action[taken],
                "next": TensorDict(following, [count]),
            },
            [count],
        )


def evaluate_policies(
    bfm: BFM,
    environment: Environment,
    tasks: Sequence[str],  # B of them, one a row
    weights: Tensor,  # (B, d) float64
    seeds: Sequence[int],  # B of them
    real_rewards: bool,
    on_step: Callable[[], None] = lambda: None,
) -> PolicyEvaluation:
    """Act for the weights, and compare ψᵀw with discounted returns.

    Args:
        bfm: the model.
        environment: where; it is not disturbed.
        tasks: of the rows.
        weights: to act for, z = policy_latent(w).
        seeds: of the rows.
        real_rewards: whether to compare with the environment's rewards, or with the model's own φᵀw.
        on_step: called after each step.
    """
    z = bfm.policy_latent(weights)
    with closing(environment.with_tasks(tasks)) as bodies:
        bodies.seed(seeds)
        rollouts = rollout(bfm, bodies, z, on_step)
    features = rollouts.features(bfm)
    rewards = rollouts.reward if real_rewards else (features * weights.cpu()).sum(-1)
    steps, rows = comparable(rollouts, bfm.discount).nonzero(as_tuple=True)
    # Drawn, for even steps could fall on the same rows again and again.
    chosen = torch.from_numpy(generator(0, "comparisons", 0).permutation(len(steps))[:MOST_POINTS]).sort().values
    steps, rows = steps[chosen], rows[chosen]
    returns = discounted_returns(rewards, bfm.discount)[steps, rows]
    return PolicyEvaluation(rollouts, features, rows, predictions(bfm, rollouts, z, weights, steps, rows), returns)
