"""Measures of a model, with their interpretation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A number about a model, the range it is expected in, and what it means if it lies outside."""

    name: str  # in lower_snake_case, as it stands in ``metrics.jsonl`` and ``summary.json``
    value: float  # NaN where it could not be worked out, which counts as bad
    meaning: str  # one sentence on what a bad value means
    at_least: float | None = None  # the lower end of the expected range
    at_most: float | None = None  # its upper end

    @property
    def is_bad(self) -> bool:
        """Whether the value lies outside its range; NaN does."""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return not low <= self.value <= high

    @property
    def expected(self) -> str:
        """The range in words."""
        ends = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{word} {end:.4g}" for word, end in ends if end is not None)

    def to_dict(self) -> dict[str, Any]:
        """As ``summary.json`` has it."""
        return {"value": self.value, "expected": self.expected, "bad": self.is_bad, "a bad value means": self.meaning}


def bad_names(measures: list[Measure]) -> list[str]:
    """The names of those that are bad."""
    return [measure.name for measure in measures if measure.is_bad]
