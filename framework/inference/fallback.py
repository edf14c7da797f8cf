"""Fallback to the inferred policy where the improved one does not earn more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.utils.checks import PositiveFloat, PositiveInt, check_ranges

LONGEST_WAIT = 8
"""Episodes at most between two trials of an improved policy that was found worse."""


@check_ranges
@dataclass(frozen=True)
class Fallback:
    r"""Decision whether the improved policy acts, for each run and episode, revised within the episode.

    G_t is the return of an episode so far, m_t its mean over the last ``window`` episodes of the inferred policy, m
    that of a whole one.

        deficit D ← D + m − G after each improved episode, also one that was taken back
        the improved policy acts while max(0, D) + m_t − G_t ≤ tolerance · |m| · (episodes so far)

    So all that improved episodes lose to the inferred policy stays within ``tolerance`` of what that would have earned,
    up to the ``check_every`` steps between two looks and what an episode goes on to lose from the state in which it is
    taken back, which is counted at its end. Earlier gains pay for a bad episode once it is over, and do not let it go
    on. An improved policy whose last ``window`` episodes earned less than m on average waits for 2, 4, 8 episodes
    before it is tried again. And m is measured anew after ``recheck`` improved episodes in a row, then after two, four,
    eight times as many, until the improved policy is found worse.

    Args:
        tolerance: share of the inferred policy's return that trials may cost.
        warmup: episodes of the inferred policy before the first trial, which begins with the z of their end. On the
            walker's flip, whose z is still a poor one after 3, two of three seeds gained little from there.
        window: episodes that a mean is taken over.
        recheck: improved episodes in a row until the inferred policy is measured anew for the first time.
        check_every: steps between two looks within an episode.

    Raises:
        ValueError: if ``tolerance`` is not positive or a number of episodes or steps less than 1.

    Reference:
        Wu et al., Conservative bandits, 2016, whose budget this is, looked at within episodes too.
    """

    tolerance: PositiveFloat = 0.02
    warmup: PositiveInt = 10
    window: PositiveInt = 4
    recheck: PositiveInt = 12
    check_every: PositiveInt = 50

    def blank(self, runs: int, episode_steps: int) -> TensorDict:  # batch (B,), on the CPU
        """Initial state of B runs."""
        checks = -(-episode_steps // self.check_every)
        counters = {
            name: torch.zeros(runs, dtype=torch.int64)
            for name in ("steps", "episodes", "inferred", "improved_episodes", "in_a_row", "wait", "failures")
        }
        counters["pause"] = torch.full((runs,), self.recheck)
        flags = {name: torch.zeros(runs, dtype=torch.bool) for name in ("improves", "taken_back")}
        sums = {name: torch.zeros(runs, dtype=torch.float64) for name in ("earned", "deficit")}
        curves = {
            "curve": torch.zeros(runs, checks, dtype=torch.float64),
            "curves": torch.zeros(runs, self.window, checks, dtype=torch.float64),
            "gains": torch.zeros(runs, self.window, dtype=torch.float64),
        }
        return TensorDict({**counters, **flags, **sums, **curves}, [runs])

    def make_room(self, state: TensorDict, checks: int) -> None:
        """Widen curves to so many looks an episode; earlier episodes go on as they ended."""
        for name in ("curve", "curves"):
            missing = checks - state[name].shape[-1]
            if missing > 0:
                last = state[name][..., -1:]
                state[name] = torch.cat([state[name], last.expand(*last.shape[:-1], missing)], -1)

    def is_ready(self, state: TensorDict) -> Tensor:  # (B,) bool
        """Mask of the runs past their warm-up; the episode that begins counts."""
        return state["inferred"] >= self.warmup

    def begin_episode(self, state: TensorDict, runs: Tensor) -> None:  # (B,) bool
        """Close the last episode of the runs of a mask, and decide who acts in the next."""
        for run in runs.nonzero().squeeze(-1).tolist():
            row = state[run]
            if row["steps"] > 0:
                self._close(row)
            self._decide(row)
            for name in ("steps", "earned", "taken_back", "curve"):
                row[name].zero_()

    def count(self, state: TensorDict, reward: Tensor, moved: Tensor) -> None:  # (B,) float64, (B,) bool
        """Add one step's rewards; runs whose improved episode costs too much return to the inferred policy."""
        state["steps"].add_(moved)
        state["earned"].add_(torch.where(moved, reward, 0.0))
        looks, room = -(-int(state["steps"].max()) // self.check_every), state["curve"].shape[-1]
        if looks > room:
            # Longer than the model's own episodes.
            self.make_room(state, max(looks, 2 * room))
        for run in (moved & (state["steps"] % self.check_every == 0)).nonzero().squeeze(-1).tolist():
            self._look(state[run])

    def _look(self, row: TensorDict) -> None:
        index = int(row["steps"]) // self.check_every - 1
        row["curve"][index:] = row["earned"]
        if not row["improves"]:
            return
        curve = self._mean_curve(row)
        lost = row["deficit"].clamp(min=0.0) + curve[index] - row["earned"]
        if lost > self.tolerance * curve[-1].abs() * (row["episodes"] + 1):
            row["improves"].fill_(False)
            row["taken_back"].fill_(True)

    def _close(self, row: TensorDict) -> None:
        row["episodes"].add_(1)
        last = -(-int(row["steps"]) // self.check_every) - 1
        row["curve"][last:] = row["earned"]
        if row["improves"] or row["taken_back"]:
            self._score(row)
        else:
            row["curves"][int(row["inferred"]) % self.window] = row["curve"]
            row["inferred"].add_(1)
            if row["in_a_row"] >= row["pause"]:
                row["pause"].mul_(2)
            row["in_a_row"].zero_()
            row["wait"].sub_(1).clamp_(min=0)

    def _score(self, row: TensorDict) -> None:
        """Count what an improved episode earned beside the inferred policy's mean."""
        expected = self._mean_curve(row)[-1]
        gain = row["earned"] - expected
        row["deficit"].sub_(gain)
        row["gains"][int(row["improved_episodes"]) % self.window] = gain / expected.abs().clamp(min=1e-12)
        row["improved_episodes"].add_(1)
        row["in_a_row"].add_(1)
        count = min(int(row["improved_episodes"]), self.window)
        if row["gains"][:count].mean() < 0:
            row["failures"].add_(1)
            row["pause"].fill_(self.recheck)
            row["in_a_row"].zero_()
            row["wait"].fill_(min(2 ** int(row["failures"]), LONGEST_WAIT))
            # A policy that has gone on learning is a new one: what it earned before says nothing of it.
            row["improved_episodes"].zero_()
        else:
            row["failures"].zero_()

    def _decide(self, row: TensorDict) -> None:
        ready = row["inferred"] >= self.warmup
        affordable = row["deficit"] <= self.tolerance * self._mean_curve(row)[-1].abs() * (row["episodes"] + 1)
        row["improves"].copy_(ready & affordable & (row["wait"] == 0) & (row["in_a_row"] < row["pause"]))

    def _mean_curve(self, row: TensorDict) -> Tensor:  # (K,)
        return row["curves"][: max(1, min(int(row["inferred"]), self.window))].mean(0)
