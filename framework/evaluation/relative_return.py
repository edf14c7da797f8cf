"""What a job says about returns: relative to an oracle, with an interval over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
COVERAGE = 0.95


def task_summary(
    returns: np.ndarray,  # (seeds, episodes)
    oracle: np.ndarray | None,  # (seeds, episodes), of the same seeds
) -> dict[str, Any]:
    """Numbers of one task over the seeds that came through; None where there is nothing to say.

    relative_return = mean return / mean return of the oracle, both over the second half of the episodes.
    """
    summary: dict[str, Any] = {
        "oracle_return": None,
        "return_per_episode": _column_means(returns),
        "relative_return": None,
        "relative_return_interval": None,
        "seeds": len(returns),
    }
    if oracle is not None and len(oracle):
        summary["oracle_return"] = float(oracle.mean())
        summary["oracle_return_per_episode"] = _column_means(oracle)
        summary["relative_return"] = relative_return([returns], [oracle])
        summary["relative_return_interval"] = relative_return_interval([returns], [oracle])
    return summary


def overall_summary(tasks: Mapping[str, tuple[np.ndarray, np.ndarray | None]]) -> dict[str, Any]:
    """The mean of relative_return over tasks, with an interval over seeds, resampled within each task."""
    pairs = [(returns, oracle) for returns, oracle in tasks.values() if oracle is not None and len(returns)]
    if not pairs:
        return {"relative_return": None, "relative_return_interval": None}
    returns, oracles = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "relative_return": relative_return(returns, oracles),
        "relative_return_interval": relative_return_interval(returns, oracles),
    }


def relative_return(returns: Sequence[np.ndarray], oracles: Sequence[np.ndarray]) -> float | None:
    """Mean over tasks of the ratio of means over the second half of the episodes; None where an oracle got nothing."""
    ratios = []
    for got, best in zip(returns, oracles, strict=True):
        if not got.size or not best.size:
            return None
        reference = second_half(best).mean()
        if not abs(reference) > 1e-9:
            return None
        ratios.append(second_half(got).mean() / reference)
    return float(np.mean(ratios)) if ratios else None


def relative_return_interval(returns: Sequence[np.ndarray], oracles: Sequence[np.ndarray]) -> list[float] | None:
    """Percentile bootstrap over seeds, learner and oracle of a seed drawn together; None with fewer than two seeds.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if any(len(got) < 2 for got in returns) or relative_return(returns, oracles) is None:
        return None
    random = np.random.default_rng(0)
    ratios = np.zeros((len(returns), RESAMPLES))
    for index, (got, best) in enumerate(zip(returns, oracles, strict=True)):
        rows = random.integers(len(got), size=(RESAMPLES, len(got)))
        numerator = second_half(got).mean(axis=1)[rows].mean(axis=1)
        denominator = second_half(best).mean(axis=1)[rows].mean(axis=1)
        ratios[index] = np.divide(numerator, denominator, out=np.full(RESAMPLES, np.nan), where=denominator != 0)
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.nanquantile(ratios.mean(axis=0), [tail, 1.0 - tail])
    return [float(low), float(high)]


def second_half(returns: np.ndarray) -> np.ndarray:  # (seeds, episodes) -> (seeds, at least one)
    """The later episodes, the middle one of an odd number among them."""
    return returns[:, returns.shape[1] // 2 :]


def _column_means(returns: np.ndarray) -> list[float]:
    return [float(value) for value in returns.mean(axis=0)] if len(returns) else []
