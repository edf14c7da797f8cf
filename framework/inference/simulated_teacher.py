"""Simulated teacher: late, noisy and sometimes wrong presses of good and bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.inference.recent_features import Stretch
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat, Share, check_ranges
from bfmkit.utils.rng import normal_noise


@check_ranges
@dataclass(frozen=True)
class Teacher:
    r"""Simulated person who sees rewards and presses good or bad, or compares; all times in seconds.

    good, if  mean reward of the window + noise  >  worst + standard · (best − worst)

    With a posterior of comparisons they say at the same moments which was the better by its mean reward, with the same
    noise and mistakes: the last ``window`` seconds, or as many at some random time before.

    Args:
        presses_per_second: how often they press a button, at random moments.
        delay: from the end of what a press is about to the press, on average.
        jitter: the standard deviation of the delay.
        window: how much of the past a press is about.
        standard: how good is good: a window is, if its mean reward lies above this share of the way from the worst to
            the best window so far.
        noise: the standard deviation of the judgement, as a share of that way.
        mistakes: how often they press the wrong button.
        credit: which steps the agent takes a press to be about: from the oldest to the newest, in seconds before it.

    Raises:
        ValueError: for a number out of its range.

    Reference:
        Knox and Stone, Interactively Shaping Agents via Human Reinforcement: The TAMER Framework, 2009.
    """

    presses_per_second: PositiveFloat = 0.5
    delay: NonNegativeFloat = 0.4
    jitter: NonNegativeFloat = 0.1
    window: PositiveFloat = 0.6
    standard: Share = 0.5
    noise: NonNegativeFloat = 0.1
    mistakes: Share = 0.05
    credit: tuple[float, float] = (0.2, 1.0)

    def __post_init__(self) -> None:
        if not 0 <= self.credit[0] < self.credit[1]:
            raise ValueError(f"credit must be a stretch of time, newest before oldest, got {list(self.credit)}")

    def require_memory(self, memory: int, timestep: float, compares: bool) -> None:
        """Raise unless an agent remembers the steps that a press is about.

        Raises:
            ValueError: naming how many steps these are.
        """
        newest, oldest = (round(each / timestep) for each in self.credit)
        reach = 2 * max(1, round(self.window / timestep)) if compares else max(oldest, newest + 1)
        if memory < reach:
            raise ValueError(f"a press is about up to {reach} steps: label_memory must be at least that, got {memory}")

    def blank(self, runs: int, memory: int) -> TensorDict:  # batch (B,)
        """Initial state: rewards of the last steps, the worst and best window."""
        watched = torch.zeros(runs, memory, dtype=torch.float64)
        return TensorDict({"watched": watched, "range": watched.new_zeros(runs, 2)}, batch_size=[runs])

    def watch(
        self,
        seen: TensorDict,  # batch (B,); changed in place
        rewards: Tensor,  # (B,) float64
        moved: Tensor,  # (B,) bool, whose steps these are
        steps: Tensor,  # (B,) int64, how many each run has taken
        seeds: Sequence[int],
        timestep: float,
        compares: bool,
    ) -> Iterator[Press]:
        """Labels after one step: at most one a run."""
        watched, extremes = seen.get("watched"), seen.get("range")
        memory, window = watched.shape[1], max(1, round(self.window / timestep))
        window = min(window, memory)
        rows = moved.nonzero().squeeze(-1)
        watched[rows, (steps[rows] - 1) % memory] = rewards[rows]
        now = _mean_reward(watched, steps, torch.zeros_like(steps), window)
        first = steps == 1
        worst = torch.where(first, now, torch.minimum(extremes[:, 0], now))
        best = torch.where(first, now, torch.maximum(extremes[:, 1], now))
        extremes[rows] = torch.stack([worst, best], -1)[rows]
        drawn = normal_noise(seeds, "teacher", steps.tolist(), (5,))
        chance = torch.special.ndtr(drawn)
        presses = moved & (chance[:, 0] < self.presses_per_second * timestep)
        if not presses.any():
            return
        noise = self.noise * (best - worst) * drawn[:, 1]
        wrong = chance[:, 2] < self.mistakes
        if not compares:
            delay = ((self.delay + self.jitter * drawn[:, 3]) / timestep).round().long().clamp(0, memory - window)
            better = _mean_reward(watched, steps, delay, window) + noise > worst + self.standard * (best - worst)
            newest, oldest = (round(each / timestep) for each in self.credit)
            yield Press(_signed(better ^ wrong), (newest, max(oldest, newest + 1)), None, presses)
            return
        room = (steps.clamp(max=memory) - 2 * window).clamp(min=0)
        ages = window + (chance[:, 4] * room).long()
        better = now + noise > _mean_reward(watched, steps, ages, window)
        for age in ages[presses].unique().tolist():
            if age + window <= memory:
                of_age = presses & (ages == age)
                yield Press(_signed(better ^ wrong), (0, window), (age, age + window), of_age)


class Press(NamedTuple):
    """One label of some runs, as :meth:`bfmkit.interfaces.Agent.label` takes it."""

    reward: Tensor  # (B,) float64, 1 or -1
    steps: Stretch
    than: Stretch | None
    runs: Tensor  # (B,) bool


def _mean_reward(watched: Tensor, steps: Tensor, ages: Tensor, window: int) -> Tensor:  # (B, H), (B,), (B,) -> (B,)
    """Of the window that ended so many steps ago, or of as much of it as there was."""
    past = (steps - 1 - ages).unsqueeze(-1) - torch.arange(window)
    exists = past >= 0
    rewards = watched.gather(1, past.clamp(min=0) % watched.shape[1])
    return (rewards * exists).sum(-1) / exists.sum(-1).clamp(min=1)


def _signed(good: Tensor) -> Tensor:  # (B,) bool -> (B,) float64
    return torch.where(good, 1.0, -1.0).double()
