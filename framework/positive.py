"""Refusing numbers that must be positive."""

from __future__ import annotations

import math


def require_positive(**numbers: float | None) -> None:
    """Refuse what is not positive and finite; None is nothing to refuse.

    Raises:
        ValueError: with the name and the value of the first that is not.
    """
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")
