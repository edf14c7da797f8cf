"""Rules of a regret study: acquisition, schedule and feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bfmkit.interfaces import Acquisition, Schedule
from bfmkit.registry import lookup
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.pool_model import EveryPolicy
from bfmkit.tabular.policy_pool import PolicyPool


@dataclass(frozen=True)
class Rule:
    """How policies are chosen, and from what."""

    acquisition: Literal["ucb", "thompson", "greedy", "random"]
    """``ucb`` compares all of the pool, with the radius that the bound is about."""
    schedule: Literal["every", "determinant"] = "every"
    """When to choose, ``determinant`` by the bound's factor. It is asked before each episode: unlike an agent, the
    study keeps a policy from one episode to the next unless the schedule says."""
    returns_only: bool = False  # the belief is told the episode's return and nothing else
    each_step: bool = False  # chooses, and learns, at every step of the episode

    @property
    def learns(self) -> bool:
        """Whether what it does depends on rewards."""
        return self.acquisition != "random"

    @property
    def is_covered(self) -> bool:
        """Whether the bound is about it."""
        return self.acquisition == "ucb" and not self.each_step

    def build_acquisition(self, pool: PolicyPool, bound: RegretBound) -> Acquisition:
        """The component that chooses."""
        arguments: dict[str, Any] = {}
        if self.acquisition == "ucb":
            arguments = {"candidates": EveryPolicy(pool), "confidence_radius": bound.confidence}
        return lookup(Acquisition, self.acquisition)(**arguments)

    def build_schedule(self, bound: RegretBound) -> Schedule:
        """The component that says when to choose."""
        arguments = {"factor": bound.factor} if self.schedule == "determinant" else {}
        return lookup(Schedule, self.schedule)(**arguments)


RULES = {
    "ucb": Rule("ucb"),
    "rarely_switching": Rule("ucb", schedule="determinant"),
    "ucb_returns": Rule("ucb", returns_only=True),
    "ucb_each_step": Rule("ucb", each_step=True),
    "thompson": Rule("thompson"),
    "greedy": Rule("greedy"),
    "random": Rule("random"),
}
