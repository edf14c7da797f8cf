"""Relative return: (agent − floor) / (oracle − floor), from the plain returns of the same task and seeds.

It is 0 for an agent that does no better than the floor and 1 for one that does as well as the oracle, whatever the
scale, offset or sign of the reward. Every number and figure that is relative to an oracle comes from
:class:`TaskReturns`, every interval from :mod:`bfmkit.evaluation.statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bfmkit.evaluation.statistics import Sample, mean

DEFINITION = "relative return: (later episodes - floor) / (oracle - floor); later episodes are the second half"


@dataclass(frozen=True)
class TaskReturns:
    """Returns on one task with those of an oracle and a floor on the same seeds."""

    returns: np.ndarray  # (S, n), of each episode
    oracle: np.ndarray  # (S, n), of an agent that knows the task, in the same episodes; NaN where there is none
    floor: np.ndarray  # (S, n), of an agent that learns nothing, in the same episodes; NaN where there is none

    @classmethod
    def of(cls, returns: np.ndarray, oracle: np.ndarray | None = None, floor: np.ndarray | None = None) -> TaskReturns:
        """Task returns with references of another number of episodes (S, k), or without them."""
        return cls(returns, _as_many(oracle, returns), _as_many(floor, returns))

    @property
    def later(self) -> np.ndarray:  # (S,)
        """Mean over the second half of the episodes."""
        return second_half(self.returns).mean(axis=1)

    @property
    def oracle_later(self) -> np.ndarray:  # (S,)
        """The oracle's mean in the same episodes; in its last ones where it was given fewer. NaN where unknown."""
        return _later_known(self.oracle)

    @property
    def floor_later(self) -> np.ndarray:  # (S,)
        """The floor's mean in the same episodes; in its last ones where it was given fewer. NaN where unknown."""
        return _later_known(self.floor)

    @property
    def missing(self) -> str | None:
        """Reason why there is no relative return; None if there is one."""
        if not self.returns.size:
            return "no run came through"
        if not np.isfinite(self.later).all():
            return f"returns of {int((~np.isfinite(self.later)).sum())} of {len(self.returns)} seeds are not finite"
        oracle, floor = known_mean(self.oracle_later), known_mean(self.floor_later)
        if oracle is None or floor is None:
            name, reference = ("oracle", self.oracle) if oracle is None else ("floor", self.floor)
            return f"no {name} was run" if np.isnan(reference).all() else f"no return of the {name} is finite"
        if oracle - floor <= 1e-9 * max(abs(oracle), abs(floor), 1e-3):
            return f"the oracle ({oracle:,.4g}) is not above the floor ({floor:,.4g})"
        return None

    def sample(self, values: np.ndarray) -> Sample | None:  # (S,), in the unit of returns
        """Sample of relative returns; None where they are undefined."""
        return None if self.missing else Sample(values, self.oracle_later, self.floor_later)

    @property
    def relative_by_episode(self) -> np.ndarray | None:  # (S, n)
        """Relative return of each episode."""
        oracle, floor = known_mean(self.oracle_later), known_mean(self.floor_later)
        if self.missing or oracle is None or floor is None:
            return None
        return (self.returns - floor) / (oracle - floor)

    def summary(self) -> dict[str, Any]:
        """Means over seeds: relative return, its interval, and its numerator and denominator."""
        sample = self.sample(self.later) if self.returns.size else None
        score = None if sample is None else mean({"": sample})
        return {
            "return_per_episode": column_means(self.returns),
            "oracle_return": known_mean(self.oracle),
            "oracle_return_per_episode": column_means(self.oracle[:, np.isfinite(self.oracle).any(axis=0)]),
            "floor_return": known_mean(self.floor),
            "later_return": known_mean(self.later) if self.returns.size else None,
            "oracle_later_return": known_mean(self.oracle_later),
            "floor_later_return": known_mean(self.floor_later),
            "relative_return": None if score is None else score.value,
            "relative_return_interval": None if score is None or score.low is None else [score.low, score.high],
            "no_relative_return": self.missing,
            "seeds": len(self.returns),
        }


def overall_summary(tasks: Mapping[str, TaskReturns]) -> dict[str, Any]:
    """Mean relative return over the tasks that have one, and their names."""
    samples = {task: sample for task, each in tasks.items() if (sample := each.sample(each.later)) is not None}
    score = asdict(mean(samples)) if samples else {"value": None, "low": None, "high": None}
    return {
        "relative_return": score["value"],
        "relative_return_interval": None if score["low"] is None else [score["low"], score["high"]],
        "relative_return_tasks": list(samples),
        "no_relative_return": {task: each.missing for task, each in tasks.items() if each.missing},
    }


def counted(scored: int, all_tasks: int) -> str:
    """Number of tasks of a mean, in words: ``all 4 tasks``, ``3 of 4 tasks``."""
    of = f"all {all_tasks}" if scored == all_tasks else f"{scored} of {all_tasks}"
    return f"{of} task{'' if all_tasks == 1 else 's'}"


def second_half(returns: np.ndarray) -> np.ndarray:  # (S, n) -> (S, at least one)
    """Later half of the episodes, the middle one of an odd number included."""
    return returns[:, returns.shape[1] // 2 :]


def known_mean(values: np.ndarray) -> float | None:
    """Mean of the finite values; None without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def column_means(returns: np.ndarray) -> list[float | None]:
    """The mean over seeds of what is known of each episode; None where nothing is."""
    return [known_mean(column) for column in returns.T] if len(returns) else []


def _as_many(reference: np.ndarray | None, returns: np.ndarray) -> np.ndarray:  # (S, k) -> (S, n)
    """In as many episodes as there are, NaN where it has none."""
    wanted = np.full(returns.shape, np.nan)
    if reference is not None and len(reference):
        count = min(reference.shape[1], returns.shape[1])
        wanted[:, :count] = reference[:, :count]
    return wanted


def _later_known(reference: np.ndarray) -> np.ndarray:  # (S, n) -> (S,)
    """The mean of each seed over its last episodes, as many as a second half has, of those that are known."""
    half = reference.shape[1] - reference.shape[1] // 2
    rows = [row[np.isfinite(row)][-half:] for row in reference]
    return np.array([row.mean() if row.size else np.nan for row in rows])
