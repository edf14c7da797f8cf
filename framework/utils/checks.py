"""Checks of arguments: positive numbers, one value a row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def require_positive(**numbers: float | None) -> None:
    """Refuse what is not positive and finite; None is nothing to refuse.

    Raises:
        ValueError: with the name and the value of the first that is not.
    """
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")


def one_per_row(value: Tensor, rows: int, name: str) -> Tensor:  # (N,) or (N, 1) -> (N,)
    """One number or flag a row, given plainly as (N,) or in TorchRL's layout (N, 1).

    Other shapes would broadcast against a batch to numbers that nobody meant.

    Raises:
        ValueError: for any other shape, with ``name`` and the shape.
    """
    if value.shape != (rows,) and value.shape != (rows, 1):
        raise ValueError(f"{name} must be ({rows},) or ({rows}, 1), got {tuple(value.shape)}")
    return value.reshape(rows)
