"""Self-collection: episodes of the policies that are being trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.data.exploration import MOST_ABANDONED, explore
from bfmkit.data.shards import empty_transitions
from bfmkit.interfaces import Environment, Objective, StepResult
from bfmkit.utils.checks import NonNegativeFloat, PositiveInt, check_ranges

LATENT_TRANSITIONS = 1024
"""Transitions that z are made of at a time: rewards are regressed on them."""


@check_ranges
@dataclass(frozen=True)
class SelfCollection:
    """Options of self-collection: episodes of the model's own policies, played every so many updates.

    Exploration shows what can happen; it holds few transitions of a policy that goes on doing what it was made for, so
    a critic trained on it alone believes in actions nobody has tried, and features need not tell apart what such
    policies do. Practice shows the model where its policies really go. No reward is looked at.

    Args:
        environment: where to act.
        every: updates from one round to the next; a round is one episode in every row.
        rows: episodes at a time.
        hold: steps with one z, before each row takes another.
        noise: standard deviation of the Gaussian noise on actions.

    Raises:
        ValueError: if a number is not positive, or ``noise`` negative.
    """

    environment: Environment
    every: PositiveInt = 1000
    rows: PositiveInt = 16
    hold: PositiveInt = 250
    noise: NonNegativeFloat = 0.2

    @property
    def block(self) -> int:
        """Number of transitions of one round."""
        return self.rows * self.environment.spec.episode_steps

    def rounds(self, update: int) -> int:
        """Number of rounds that are over after ``update`` updates."""
        return update // self.every


class SelfCollector:
    """Collector of episodes of the policies that are being trained.

    Args:
        self_collection: how.
        objective: whose policies act, on z it trains with.
        seed: of the episodes.
    """

    def __init__(self, self_collection: SelfCollection, objective: Objective, seed: int) -> None:
        prototype = self_collection.environment
        self._environment = prototype.with_tasks([prototype.tasks[0]] * self_collection.rows)
        self._practice, self._objective, self._seed = self_collection, objective, seed

    def round(self, number: int, transitions: Callable[[int], TensorDictBase]) -> TensorDictBase:
        """Play round ``number``; actions and z are drawn from torch's generator.

        Args:
            number: decides how the episodes start.
            transitions: n -> batch (n,), random transitions to make z of.

        Raises:
            FloatingPointError: if simulations diverge again and again.
        """
        rows, spec = self._practice.rows, self._environment.spec
        episodes = empty_transitions(spec, self._practice.block).reshape(rows, spec.episode_steps)
        for attempt in range(MOST_ABANDONED):
            seed = self._seed * 10_007 + rows * (MOST_ABANDONED * number + attempt)
            self._environment.seed([seed + row for row in range(rows)])
            actor = LatentPolicyActor(self._objective, self._practice, transitions)
            if explore(self._environment, actor, episodes):
                return episodes.reshape(-1)
        raise FloatingPointError(
            f"{MOST_ABANDONED} rounds of self_collection in a row held numbers that are not finite"
        )


class LatentPolicyActor:
    """Actor π_z with noise, for a z drawn as in training and held for ``hold`` steps; it learns nothing itself."""

    def __init__(
        self, objective: Objective, self_collection: SelfCollection, transitions: Callable[[int], TensorDictBase]
    ) -> None:
        self._objective, self._practice, self._transitions = objective, self_collection, transitions
        self._step, self._z = 0, torch.empty(0)

    @torch.no_grad()
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a)
        """The policy's action with noise."""
        if self._step % self._practice.hold == 0:
            rows = len(observation)
            self._z = self._objective.latents(self._transitions(max(rows, LATENT_TRANSITIONS)))[:rows]
        self._step += 1
        action = self._objective.bfm.act(observation.to(self._z.device), self._z)
        return (action + self._practice.noise * torch.randn_like(action)).clamp_(-1, 1).to(observation.device)

    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Nothing: the objective learns from what is gathered."""
