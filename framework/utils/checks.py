"""Checks of arguments: ranges as annotations, for recipes, their schema and Python calls; one value a row."""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Iterator, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MultipleOf, Predicate

if TYPE_CHECKING:
    from torch import Tensor

Finite = Predicate(math.isfinite)

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0), Finite]
NonNegativeFloat = Annotated[float, Ge(0), Finite]
Share = Annotated[float, Ge(0), Le(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
Discount = Annotated[float, Gt(0), Le(1)]

C = TypeVar("C", bound=type)


def check_ranges(cls: C) -> C:
    """Class decorator: the constructor refuses arguments outside the ranges of their annotations.

    Registered components are decorated already.

    Example:
        >>> @check_ranges
        ... class Buffer:
        ...     def __init__(self, size: PositiveInt) -> None:
        ...         self.size = size
        >>> Buffer(0)
        Traceback (most recent call last):
        ValueError: size must be at least 1, got 0
    """
    init = cls.__init__  # type: ignore[misc]
    if hasattr(init, "checks_ranges") or init is object.__init__:
        return cls

    @wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        ranges = _ranges(init)
        if ranges:
            given = inspect.signature(init).bind_partial(self, *args, **kwargs).arguments
            for name in ranges.keys() & given.keys():
                problem = _literal_problem(ranges[name], given[name]) or range_problem(ranges[name], given[name])
                if problem is not None:
                    raise ValueError(f"{name} {problem}")
        init(self, *args, **kwargs)

    checked.checks_ranges = True  # type: ignore[attr-defined]
    cls.__init__ = checked  # type: ignore[misc]
    return cls


def range_problem(annotation: Any, value: Any) -> str | None:
    """Problem of numbers outside the ranges of an annotation, ``must be at least 1, got 0``; None without one."""
    for constraints, number in _constrained(annotation, value):
        if not all(_holds(constraint, number) for constraint in constraints):
            return f"must {_words(constraints)}, got {number}"
    return None


@cache
def _ranges(init: Any) -> dict[str, Any]:
    try:
        hints = get_type_hints(init, include_extras=True)
    except NameError:  # recipes say so
        return {}
    return {
        name: annotation for name, annotation in hints.items() if re.search(r"Annotated\[|Literal\[", repr(annotation))
    }


def _literal_problem(annotation: Any, value: Any) -> str | None:
    if get_origin(annotation) is not Literal or value in get_args(annotation):
        return None
    return f"must be one of {', '.join(map(repr, get_args(annotation)))}, got {value!r}"


def _constrained(annotation: Any, value: Any) -> Iterator[tuple[tuple[Any, ...], float]]:
    """The numbers of a value that have constraints."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield arguments[1:], value
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from _constrained(member, value)
    elif origin in (list, Sequence) and isinstance(value, list | tuple):
        for item in value:
            yield from _constrained(arguments[0], item)


def _holds(constraint: Any, value: float) -> bool:
    checks = {
        Gt: lambda: value > constraint.gt,
        Ge: lambda: value >= constraint.ge,
        Lt: lambda: value < constraint.lt,
        Le: lambda: value <= constraint.le,
        MultipleOf: lambda: value % constraint.multiple_of == 0,
        Predicate: lambda: constraint.func(value),
    }
    return type(constraint) not in checks or checks[type(constraint)]()


def _words(constraints: tuple[Any, ...]) -> str:
    low = next((each for each in constraints if isinstance(each, Gt | Ge)), None)
    high = next((each for each in constraints if isinstance(each, Lt | Le)), None)
    multiple = next((each.multiple_of for each in constraints if isinstance(each, MultipleOf)), None)
    parts = [] if multiple is None else [f"be a multiple of {multiple}"]
    if low is not None and high is not None:
        left = f"[{low.ge}" if isinstance(low, Ge) else f"({low.gt}"
        right = f"{high.le}]" if isinstance(high, Le) else f"{high.lt})"
        parts.append(f"lie in {left}, {right}")
    elif isinstance(low, Ge):
        zero = "be finite and not negative" if Finite in constraints else "not be negative"
        parts.append(zero if low.ge == 0 else f"be at least {low.ge}")
    elif low is not None:
        parts.append("be positive and finite" if low.gt == 0 else f"be greater than {low.gt}")
    elif high is not None:
        parts.append(f"be at most {high.le}" if isinstance(high, Le) else f"be less than {high.lt}")
    return " and ".join(parts) or "be finite"


def one_per_row(value: Tensor, rows: int, name: str) -> Tensor:  # (N,) or (N, 1) -> (N,)
    """One number or flag a row, given plainly as (N,) or in TorchRL's layout (N, 1).

    Other shapes would broadcast against a batch to numbers that nobody meant.

    Raises:
        ValueError: for any other shape, with ``name`` and the shape.
    """
    if value.shape != (rows,) and value.shape != (rows, 1):
        raise ValueError(f"{name} must be ({rows},) or ({rows}, 1), got {tuple(value.shape)}")
    return value.reshape(rows)


def require_actions(action: Tensor, rows: int, size: int) -> None:  # (rows, size)
    """Require one finite action a row.

    Raises:
        ValueError: for another shape, or an entry that is not finite; the message names its row.
    """
    if tuple(action.shape) != (rows, size):
        raise ValueError(f"actions must be ({rows}, {size}), got {tuple(action.shape)}")
    finite = action.isfinite().all(-1)
    if not finite.all():
        raise ValueError(f"the action of row {int((~finite).nonzero()[0])} is not finite")
