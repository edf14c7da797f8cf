"""Calibration of the belief: how often rewards lie within its predictive intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bfmkit.interfaces import Agent, Posterior

RESIDUALS = "residuals"
"""The entry of an agent's state that holds the sums."""

ENOUGH = 200
"""Fewer rewards are no ground for a warning."""
TOO_FEW_INSIDE = 0.8
"""A smaller share of rewards within two standard deviations, of which a normal belief has 0.954, is worth a warning."""

LARGEST_PLAIN = 3.0
"""Rewards of a larger mean or standard deviation are far from what a prior for rewards of about 0 to 1 expects."""

_COLUMNS = 5
_WIDTHS = torch.tensor([1.0, 2.0], dtype=torch.float64)


def blank(runs: int, device: torch.device | str = "cpu") -> Tensor:  # (B, 5) float64
    """Sums of zero: count of rewards, those within one and two predictive deviations, Σr², Σr."""
    return torch.zeros(runs, _COLUMNS, dtype=torch.float64, device=device)


class Predictions(NamedTuple):
    """Predictive means and deviations of n rewards of each of m runs, with the rewards."""

    residual: Tensor  # (m, n) float64, r less what was expected of it
    std: Tensor  # (m, n) float64, the belief's standard deviation of the reward
    reward: Tensor  # (m, n) float64
    observed: Tensor  # (m, n) bool; where it is not, the others may be anything


def counted(
    sums: Tensor,  # (B, 5)
    predictions: Sequence[tuple[Tensor, Predictions]],  # of some runs, (m,) int64 ascending, batch (m, n)
) -> Tensor:  # (B, 5)
    """Sums after the observed rewards."""
    count = len(sums)
    for is_whole, group in groupby(predictions, lambda prediction: len(prediction[0]) == count):
        if is_whole:
            # Many at a time, which takes a fraction.
            parts = zip(*(prediction for _, prediction in group), strict=True)
            sums = _added(sums, Predictions(*(torch.cat(part, 1) for part in parts)))
        else:
            for runs, prediction in group:
                rows = runs.to(sums.device)
                sums = sums.index_copy(0, rows, _added(sums[rows], prediction))
    return sums


def _added(sums: Tensor, predictions: Predictions) -> Tensor:  # (m, 5), batch (m, n) -> (m, 5)
    residual, std, reward, observed = predictions
    inside = residual.abs().unsqueeze(-1) <= std.unsqueeze(-1) * _WIDTHS.to(std.device)
    counts = observed.to(sums.device).unsqueeze(-1)
    rows = torch.cat([counts, inside, reward.square().unsqueeze(-1), reward.unsqueeze(-1)], dim=-1)
    # One after another, so that it does not matter how many are counted together.
    return torch.cat([sums.unsqueeze(1), torch.where(counts, rows, 0.0)], 1).cumsum(1)[:, -1]


@dataclass(frozen=True)
class Calibration:
    """Coverage of the predictive intervals by rewards, each predicted before it was learnt from."""

    rewards: int  # how many it was asked about
    within_one: float | None
    """The share of them within one standard deviation of what was expected; 0.68 for a normal belief."""
    within_two: float | None  # within two of them; 0.95
    reward_mean: float | None  # of the rewards themselves
    reward_std: float | None  # their standard deviation

    @classmethod
    def of(cls, sums: Tensor) -> Calibration:  # (5,), or several of them, (n, 5)
        """Calibration from the sums of one run, or of several together."""
        rewards, one, two, squares, total = sums.double().reshape(-1, _COLUMNS).sum(0).tolist()
        if rewards == 0:
            return cls(0, None, None, None, None)
        mean = total / rewards
        variance = max(squares / rewards - mean**2, 0.0)
        return cls(int(rewards), one / rewards, two / rewards, mean, variance**0.5)

    @property
    def is_overconfident(self) -> bool:
        """Whether clearly fewer rewards lie within the intervals than their nominal share."""
        return self.within_two is not None and self.rewards >= ENOUGH and self.within_two < TOO_FEW_INSIDE

    def to_dict(self) -> dict[str, Any]:
        """Calibration as plain numbers."""
        return asdict(self)

    def words(self) -> str:
        """Text: ``0.51 of 2,000 rewards within two of the belief's standard deviations (0.95 expected)``."""
        if self.within_two is None:
            return "no reward yet"
        share = f"{self.within_two:.2f} of {self.rewards:,} rewards within two of the belief's standard deviations"
        return f"{share} (0.95 expected)"


def calibrations(agent: Agent) -> list[Calibration]:
    """Calibration of each run of an agent; none for an agent that keeps no belief."""
    if RESIDUALS not in agent.state.keys():
        return []
    return [Calibration.of(row) for row in agent.state[RESIDUALS].cpu()]


def warning(whose: Sequence[str], worst: Calibration, posterior: Posterior) -> str:
    """Warning of an overconfident posterior, with the setting to change.

    Args:
        whose: the runs it is about, in words.
        worst: the calibration of the one that is farthest off.
        posterior: of the agent.
    """
    runs = whose[0] if len(whose) == 1 else f"{len(whose)} runs, most of all in {whose[0]}"
    said = f"the posterior is overconfident in {runs}: {worst.words()}; exploring then ends too early. "
    mean, std = worst.reward_mean or 0.0, worst.reward_std or 0.0
    if not posterior.is_standardized and max(abs(mean), std) > LARGEST_PLAIN:
        return said + (
            f"Rewards here are about {mean:.3g} with a standard deviation of {std:.3g}, and the prior is made for "
            "rewards of about 0 to 1: scale them, or take agent.posterior={type: standardized, posterior: "
            "{type: ridge}}."
        )
    return said + (
        "The model's features express this reward only in part: a larger confidence_radius of the acquisition in the "
        "first episodes, such as {type: two_stage, initial: 5.0, episodes: 3}, finds out more."
    )
