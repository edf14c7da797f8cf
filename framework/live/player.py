"""Player: one agent on a body of its own, stepped from outside."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bfmkit.environments.labels import labelled_transitions
from bfmkit.interfaces import BFM, Agent, Environment, RunStoppedError
from bfmkit.runs.label_log import LabelLog
from bfmkit.utils.placement import placement

EPISODES_KEPT = 1000
REACH_SECONDS = 20.0
"""How far back a label of the page reaches."""


@dataclass(frozen=True)
class Seen:
    """Last step of a player."""

    physics: Tensor  # (1, p) after the step
    reward: float  # the task's, whether the agent was told it or not
    predicted: float  # what the belief expected of it; NaN of an agent without one
    over: bool  # whether the episode ended with it


@dataclass
class Player:
    """Agent with its belief and its body."""

    name: str  # for people
    agent: Agent  # started here
    bfm: BFM
    environment: Environment  # one row
    seed: int
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Nodes ``bfm``, ``agent`` and ``environment`` of the recipe it comes from, for its record."""
    pages: Path | None = None  # a folder for what its record needs; None keeps that in memory
    task: str = ""
    returns: deque[float] = field(default_factory=lambda: deque(maxlen=EPISODES_KEPT))
    episode: int = 0
    total: float = 0.0
    step: int = 0
    track: list[Tensor] = field(default_factory=list)
    """Physics of the present episode, (1, p) each."""

    def __post_init__(self) -> None:
        self.task = self.environment.tasks[0]
        self.environment.seed([self.seed])
        self.agent.control_timestep = self.environment.spec.control_timestep
        if self.has_belief:
            reach = round(REACH_SECONDS / self.environment.spec.control_timestep)
            self.agent.label_memory = max(self.agent.label_memory, reach)
        self.forget()

    @property
    def has_belief(self) -> bool:
        """Whether labels can teach the agent."""
        return hasattr(self.agent, "posterior")

    @property
    def compares(self) -> bool:
        """Whether the agent learns from comparisons of two clips."""
        return bool(getattr(getattr(self.agent, "posterior", None), "compares", False))

    def forget(self) -> None:
        """Restart the agent and drop its episodes; the body stays where it is."""
        labelled, agent = None, self.agent
        if self.has_belief:
            agent.label_log = LabelLog(copy.deepcopy(dict(self.origin)), self.pages)
        if agent.labelled_transitions > 0:
            count, every = agent.labelled_transitions, agent.label_every
            labelled = labelled_transitions(self.bfm, self.environment, [self.task], count, every)
        agent.start(self.bfm, [self.seed], labelled)
        self.returns.clear()

    def begin_episode(self, number: int | None = None) -> None:
        """Start the next episode, or the one of that number; a stopped agent continues."""
        if number is not None:
            self.environment.seed([self.seed], number)
            self.episode = number
        self.agent.failures.clear()
        self.agent.state.get("stopped").fill_(False)
        self.agent.begin_episode()
        self.observation, self.physics = self.environment.reset_batch()
        self.action = torch.zeros(1, self.environment.spec.action_size)
        self.track = [self.physics.clone()]
        self.episode, self.step, self.total = self.episode + 1, 0, 0.0

    def take_task(self, task: str) -> None:
        """Change the reward from the next step on; the body continues if its environment can."""
        state = self.environment.snapshot()
        before, self.environment = self.environment, self.environment.with_tasks([task])
        before.close()
        self.environment.seed([self.seed], self.episode)
        self.task = task
        if state is None:
            self.begin_episode()
        else:
            self.environment.restore(state)

    def advance(self, observed: bool) -> Seen:
        """Act for one step, and learn from its reward if that is observed.

        Raises:
            RunStoppedError: where a body diverges or a reward is not finite; :meth:`begin_episode` goes on.
        """
        observation = self.observation
        action = self.agent.act(observation)
        if self.agent.failures:
            raise RunStoppedError(self.agent.failures[0])
        outcome = self.environment.step_batch(action)
        predicted = self._predicted(observation, action, outcome.observation)
        told = torch.tensor([observed])
        self.agent.observe(observation, action, outcome.observation, outcome.reward, told)
        reward = float(outcome.reward)
        self.observation, self.physics, self.action = outcome.observation, outcome.physics, action
        self.step, self.total = self.step + 1, self.total + reward
        self.track.append(outcome.physics.clone())
        over = bool(outcome.terminated | outcome.truncated)
        if over:
            self.agent.flush()
            self.returns.append(self.total)
        return Seen(outcome.physics, reward, predicted, over)

    def mean(self) -> Tensor | None:  # (d,)
        """Posterior mean after the last update; None without a belief."""
        if not self.has_belief:
            return None
        agent: Any = self.agent
        mean: Tensor = agent.posterior.mean(agent.state["belief"])[0]
        return mean

    @torch.no_grad()
    def _predicted(self, observation: Tensor, action: Tensor, following: Tensor) -> float:
        if not self.has_belief:
            return float("nan")
        agent: Any = self.agent
        parts = (part.to(*placement(self.bfm)) for part in (observation, action, following))
        features = self.bfm.features(*parts)
        return float(agent.posterior.predictive_mean(agent.state["belief"], features))
