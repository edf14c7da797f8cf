"""An agent that a simulated person teaches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.interfaces import Acquisition, Agent, Posterior, QueryRule, Schedule
from bfmkit.registry import register
from bfmkit.utils.checks import require_positive
from bfmkit.utils.rng import normal_noise


@dataclass(frozen=True)
class Teacher:
    """How a simulated person judges what they see; all times in seconds.

    Args:
        presses_per_second: how often they press a button, at random moments.
        delay: from the end of what a press is about to the press, on average.
        jitter: the standard deviation of the delay.
        window: how much of the past a press is about.
        standard: how good is good: a window is, if its mean reward lies above this share of the way from the worst to
            the best window so far.
        noise: the standard deviation of the judgement, as a share of that way.
        mistakes: how often they press the wrong button.

    Raises:
        ValueError: for a number out of its range.
    """

    presses_per_second: float = 0.5
    delay: float = 0.4
    jitter: float = 0.1
    window: float = 0.6
    standard: float = 0.5
    noise: float = 0.1
    mistakes: float = 0.05

    def __post_init__(self) -> None:
        require_positive(presses_per_second=self.presses_per_second, window=self.window)
        for name in ("delay", "jitter", "noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("standard", "mistakes"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


@register(Agent, "taught")
class TaughtAgent(TaskInferenceAgent):
    r"""Task inference from the presses of a simulated teacher, who alone sees the rewards.

    good, if  mean reward of the window + noise  >  worst + standard · (best − worst)

    With a posterior of comparisons the teacher says at the same moments which was the better: the last ``window``
    seconds, or as many seconds some random time before; by their returns, with the same noise and mistakes. All
    randomness is a function of the run's seed and step. The labels of a run count presses.

    Args:
        posterior: what the presses so far say about w.
        acquisition: which w to act for next.
        teacher: who presses; none given: one with the settings' defaults.
        schedule: when to choose again within an episode; none given: at every step.
        query_rule: which rewards to learn from; presses are always learnt from.
        credit: which steps a press is taken to be about, in seconds before it: the newest and the oldest.
        labelled_transitions: how many labelled transitions to learn from before the first step.
        block: how many steps are learnt from at once; a press learns from those that wait.
        label_memory: how many steps back a press or a comparison may reach.

    Raises:
        ValueError: as ``task_inference``, or if ``credit`` is no stretch of time.

    Reference:
        Knox and Stone, Interactively Shaping Agents via Human Reinforcement: The TAMER Framework, 2009.
    """

    def __init__(
        self,
        posterior: Posterior,
        acquisition: Acquisition,
        teacher: Teacher | None = None,
        schedule: Schedule | None = None,
        query_rule: QueryRule | None = None,
        credit: tuple[float, float] = (0.2, 1.0),
        labelled_transitions: int = 0,
        block: int = 1,
        label_memory: int = 800,
    ) -> None:
        super().__init__(posterior, acquisition, schedule, query_rule, labelled_transitions, block, label_memory)
        if not 0 <= credit[0] < credit[1]:
            raise ValueError(f"credit must be a stretch of time, newest before oldest, got {list(credit)}")
        self.teacher = teacher or Teacher()
        self.credit = credit

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        runs = len(self.seeds)
        watched = torch.zeros(runs, self.label_memory, dtype=torch.float64)
        return super().prepare(labelled) | {"watched": watched, "worst_and_best": watched.new_zeros(runs, 2)}

    def observe(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor | float,
        observed: Tensor | None = None,
        runs: Tensor | None = None,
    ) -> None:
        """Learn from one step, whose reward only the teacher sees; one that is not finite stops its run."""
        self._require_start()
        rewards = self._rewards(reward).cpu()
        arrived = self.everyone if observed is None else self._mask(observed, "observed")
        before = self.state.get("step").clone()
        super().observe(observation, action, next_observation, reward, arrived & ~rewards.isfinite(), runs)
        moved = self.state.get("step") > before
        self._watch(torch.where(arrived, rewards, 0.0).nan_to_num(0.0, 0.0, 0.0), moved)

    @torch.no_grad()
    def _watch(self, rewards: Tensor, moved: Tensor) -> None:  # (B,) float64, (B,) bool
        """Show the teacher one step of some runs, and learn what they press."""
        steps, watched, seen = (self.state.get(name) for name in ("step", "watched", "worst_and_best"))
        rows = moved.nonzero().squeeze(-1)
        watched[rows, (steps[rows] - 1) % self.label_memory] = rewards[rows]
        now = self._mean_reward(torch.zeros_like(steps))
        first = steps == 1
        worst = torch.where(first, now, torch.minimum(seen[:, 0], now))
        best = torch.where(first, now, torch.maximum(seen[:, 1], now))
        seen[rows] = torch.stack([worst, best], -1)[rows]
        drawn = normal_noise(self.seeds, "teacher", steps.tolist(), (5,))
        chance = self.teacher.presses_per_second * self._seconds
        presses = moved & ~self.state.get("stopped") & (torch.special.ndtr(drawn[:, 0]) < chance)
        if presses.any():
            self._press(presses, drawn)

    @property
    def _seconds(self) -> float:
        return self.bfm.environment_spec.control_timestep

    @property
    def _window(self) -> int:
        return min(max(1, round(self.teacher.window / self._seconds)), self.label_memory)

    def _mean_reward(self, ages: Tensor) -> Tensor:  # (B,) int64 -> (B,)
        """The mean reward of the window that ended so many steps ago, or of as much of it as there was."""
        past = self.state.get("step").unsqueeze(-1) - 1 - ages.unsqueeze(-1) - torch.arange(self._window)
        there = past >= 0
        rewards = self.state.get("watched").gather(1, past.clamp(min=0) % self.label_memory)
        return (rewards * there).sum(-1) / there.sum(-1).clamp(min=1)

    def _press(self, presses: Tensor, drawn: Tensor) -> None:  # (B,) bool, (B, 5)
        teacher, memory = self.teacher, self.label_memory
        worst, best = self.state.get("worst_and_best").unbind(-1)
        noise = teacher.noise * (best - worst) * drawn[:, 1]
        wrong = torch.special.ndtr(drawn[:, 2]) < teacher.mistakes
        if not self.posterior.compares:
            delay = ((teacher.delay + teacher.jitter * drawn[:, 3]) / self._seconds).round().long()
            judged = self._mean_reward(delay.clamp(0, memory - self._window))
            better = judged + noise > worst + teacher.standard * (best - worst)
            self.label(torch.where(better ^ wrong, 1.0, -1.0).double(), seconds=self.credit, runs=presses)
            return
        window = self._window
        room = (self.state.get("step").clamp(max=memory) - 2 * window).clamp(min=0)
        ages = window + (torch.special.ndtr(drawn[:, 4]) * room).long()
        better = self._mean_reward(torch.zeros_like(ages)) + noise > self._mean_reward(ages)
        reward = torch.where(better ^ wrong, 1.0, -1.0).double()
        for age in ages[presses].unique().tolist():
            if age + window <= memory:
                self.label(reward, window, than=(age, age + window), runs=presses & (ages == age))
