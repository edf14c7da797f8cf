"""Conversion between actions in [-1, 1] and an environment's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torchrl.data import Binary, Bounded, Categorical, MultiCategorical, MultiOneHot, OneHot, TensorSpec, Unbounded

UNREACHABLE = 1e18
"""A bound beyond this, such as the largest float32, counts as none."""


class ActionScale(ABC):
    """Map between numbers in [-1, 1] and an environment's own actions."""

    size: int
    """a."""

    @abstractmethod
    def to_own(self, action: np.ndarray) -> np.ndarray:  # (a,) -> as the environment has it, flat
        """Action in the environment's own format."""

    @abstractmethod
    def from_own(self, actions: np.ndarray) -> np.ndarray:  # (n, ...) -> (n, a)
        """Numbers in [-1, 1] of recorded actions.

        Raises:
            ValueError: if one cannot be had from [-1, 1]; the message says which entry.
        """


class BoundedActions(ActionScale):
    """Continuous actions, each entry mapped by its own bounds.

    [-1, 1] is stretched to [low, high] where both are finite, moved to [low, low + 2] or [high - 2, high] where one is,
    and left as it is where none is.

    Args:
        low: (a,).
        high: (a,).

    Raises:
        ValueError: if no number lies between the bounds of an entry.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        low, high = np.asarray(low, np.float64).reshape(-1), np.asarray(high, np.float64).reshape(-1)
        empty = ~(low <= high) | (low == np.inf) | (high == -np.inf)
        if empty.any():
            entry = int(empty.argmax())
            raise ValueError(
                f"entry {entry} of the actions has no number between its bounds {low[entry]:g} and {high[entry]:g}"
            )
        low, high = np.where(low <= -UNREACHABLE, -np.inf, low), np.where(high >= UNREACHABLE, np.inf, high)
        self.size = len(low)
        has_low, has_high = np.isfinite(low), np.isfinite(high)
        self._stretched = has_low & has_high
        safe_low, safe_high = np.where(has_low, low, 0.0), np.where(has_high, high, 0.0)
        self._half = np.where(self._stretched, (safe_high - safe_low) / 2, 1.0)
        self._middle = np.select(
            [self._stretched, has_low, has_high], [(safe_high + safe_low) / 2, safe_low + 1, safe_high - 1], 0.0
        )

    def to_own(self, action: np.ndarray) -> np.ndarray:  # (a,) -> (a,)
        return self._middle + self._half * np.clip(action, -1.0, 1.0)

    def from_own(self, actions: np.ndarray) -> np.ndarray:  # (n, ...) -> (n, a)
        rows = np.asarray(actions, np.float64).reshape(len(actions), -1)
        if rows.shape[1] != self.size:
            raise ValueError(f"actions must have {self.size} entries, got {rows.shape[1]}")
        scaled = (rows - self._middle) / np.maximum(self._half, 1e-12)
        beyond = (np.abs(scaled) > 1 + 1e-6) & ~self._stretched
        if beyond.any():
            row, entry = np.argwhere(beyond)[0]
            raise ValueError(
                f"entry {entry} of the actions has no two bounds, and is {rows[row, entry]:g} in row {row}; without "
                f"bounds to scale by, it must lie in [{self._middle[entry] - 1:g}, {self._middle[entry] + 1:g}]"
            )
        return scaled.clip(-1.0, 1.0)


class Choices(ActionScale):
    """Discrete actions, one or several: the largest of each one's numbers is the choice.

    Args:
        counts: among how many, for each.
        starts: the least value of each; zero if not given.
    """

    def __init__(self, counts: Sequence[int], starts: Sequence[int] | None = None) -> None:
        self.counts, self.starts = tuple(counts), tuple(starts or (0,) * len(counts))
        self.size = sum(self.counts)

    def to_own(self, action: np.ndarray) -> np.ndarray:  # (a,) -> (choices,)
        parts = np.split(action, np.cumsum(self.counts)[:-1])
        return np.array([start + int(part.argmax()) for start, part in zip(self.starts, parts, strict=True)])

    def from_own(self, actions: np.ndarray) -> np.ndarray:  # (n, ...) -> (n, a)
        rows = np.asarray(actions).reshape(len(actions), -1) - np.asarray(self.starts)
        if ((rows < 0) | (rows >= np.asarray(self.counts))).any():
            raise ValueError(f"actions must be choices among {self.counts} from {self.starts} on")
        parts = [rows[:, [index]] == np.arange(count) for index, count in enumerate(self.counts)]
        return 2.0 * np.concatenate(parts, axis=1) - 1.0


def space_actions(space: Any, what: str) -> ActionScale:
    """Scale of a Gymnasium action space.

    Raises:
        ValueError: for actions that are neither numbers nor choices, or none at all.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _some(_bounded(space.low, space.high, what), what)
    if isinstance(space, spaces.Discrete):
        return Choices([int(space.n)], [int(space.start)])
    if isinstance(space, spaces.MultiDiscrete):
        return Choices(space.nvec.reshape(-1).tolist(), space.start.reshape(-1).tolist())
    raise ValueError(_neither(what, " ".join(str(space).split())))


def spec_actions(spec: TensorSpec, what: str) -> ActionScale:
    """Scale of a TorchRL action spec; errors as in :func:`space_actions`."""
    if isinstance(spec, MultiOneHot | MultiCategorical):
        counts = spec.nvec.tolist() if isinstance(spec, MultiCategorical) else [int(box.n) for box in spec.space.boxes]
        return Choices(counts)
    if isinstance(spec, OneHot) and spec.ndim <= 2:
        return Choices([spec.shape[-1]] * spec.shape[:-1].numel())
    if isinstance(spec, Categorical) and not isinstance(spec, Binary) and spec.ndim <= 1:
        return Choices([int(spec.space.n)] * spec.shape.numel())
    if isinstance(spec, Bounded) and spec.dtype.is_floating_point:
        return _some(_bounded(spec.space.low.numpy(force=True), spec.space.high.numpy(force=True), what), what)
    if isinstance(spec, Unbounded) and spec.dtype.is_floating_point:
        open_end = np.full(spec.shape.numel(), np.inf)
        return _some(BoundedActions(-open_end, open_end), what)
    raise ValueError(_neither(what, type(spec).__name__))


def _bounded(low: np.ndarray, high: np.ndarray, what: str) -> BoundedActions:
    try:
        return BoundedActions(low, high)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def _some(scale: ActionScale, what: str) -> ActionScale:
    if not scale.size:
        raise ValueError(f"{what} takes no actions")
    return scale


def _neither(what: str, kind: str) -> str:
    wrapper = "a gymnasium.ActionWrapper with a Box of floats, a Discrete or a MultiDiscrete makes them so"
    return f"the actions of {what} are neither numbers nor choices: {kind}; {wrapper}"
