from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from bfmkit.utils.checks import (
    Finite,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check_ranges,
    one_per_row,
    range_problem,
)


@check_ranges
@dataclass(frozen=True)
class Settings:
    size: PositiveInt
    rate: PositiveFloat = 1.0
    limit: PositiveInt | None = None
    sizes: tuple[int, ...] = ()
    mode: Literal["min", "mean"] = "min"
    dims: list[PositiveInt] | None = None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 1, "rate": 0.0}, "rate must be positive and finite, got 0.0"),
        ({"size": 1, "rate": math.inf}, "rate must be positive and finite, got inf"),
        ({"size": 1, "rate": math.nan}, "rate must be positive and finite, got nan"),
        ({"size": 1, "limit": -2}, "limit must be at least 1, got -2"),
        ({"size": 1, "mode": "max"}, "mode must be one of 'min', 'mean', got 'max'"),
        ({"size": 1, "dims": [4, 0]}, "dims must be at least 1, got 0"),
    ],
)
def test_a_constructor_refuses_what_its_annotations_do(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**arguments)


def test_positional_arguments_and_subclasses_are_checked_and_the_signature_stays() -> None:
    class Larger(Settings):
        pass

    with pytest.raises(ValueError, match="rate"):
        Larger(1, -1.0)
    assert Larger(3, 2.0, limit=None).size == 3
    assert list(inspect.signature(Settings).parameters) == ["size", "rate", "limit", "sizes", "mode", "dims"]


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (NonNegativeFloat, -1, "must be finite and not negative, got -1"),
        (Annotated[int, Ge(0)], -1, "must not be negative, got -1"),
        (Annotated[float, Gt(0), Lt(1)], 1.0, "must lie in (0, 1), got 1.0"),
        (Annotated[float, Ge(0), Le(1)], 1.5, "must lie in [0, 1], got 1.5"),
        (Annotated[float, Gt(1), Finite], 1, "must be greater than 1, got 1"),
        (Annotated[int, Ge(1), MultipleOf(2)], 3, "must be a multiple of 2 and be at least 1, got 3"),
        (Annotated[float, Le(2)], 3, "must be at most 2, got 3"),
        (PositiveInt | str, 0, "must be at least 1, got 0"),
        (PositiveInt | str, "0", None),
        (PositiveInt, True, None),  # another check's matter
        (int, -1, None),
    ],
)
def test_problems_say_the_range(annotation: object, value: object, problem: str | None) -> None:
    assert range_problem(annotation, value) == problem


def test_one_value_a_row() -> None:
    assert one_per_row(torch.ones(2, 1), 2, "reward").shape == (2,)
    with pytest.raises(ValueError, match="reward must be"):
        one_per_row(torch.ones(1, 2), 2, "reward")
