"""Functions that a typed reward may call; their signatures are its grammar.

All take and give single numbers or arrays. An argument annotated ``Constant`` must be a number written out, or made of
such numbers.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Value = Any
"""A float or an array (n,)."""
Constant = float


def tolerance(x: Value, lower: Value, upper: Value, margin: Constant = 0.0, value_at_margin: Constant = 0.1) -> Value:
    """1 from lower to upper; outside, a bell that has value_at_margin at a distance of margin."""
    if type(lower) is float and type(upper) is float and lower > upper:
        raise ValueError(f"the lower bound {lower:g} is above the upper one {upper:g}")
    distance = np.maximum(np.subtract(lower, x), np.subtract(x, upper))
    return _bell(distance, margin, value_at_margin)


def at_least(x: Value, bound: Value, margin: Constant = 0.0, value_at_margin: Constant = 0.1) -> Value:
    """1 from bound on; below it, a bell that has value_at_margin at bound - margin."""
    return _bell(np.subtract(bound, x), margin, value_at_margin)


def at_most(x: Value, bound: Value, margin: Constant = 0.0, value_at_margin: Constant = 0.1) -> Value:
    """1 up to bound; above it, a bell that has value_at_margin at bound + margin."""
    return _bell(np.subtract(x, bound), margin, value_at_margin)


def ramp(x: Value, start: Value, end: Value) -> Value:
    """0 at start, 1 at end, a line between them and flat beyond; start may be the larger one."""
    if type(start) is float and type(end) is float and start == end:
        raise ValueError("start and end are the same")
    return np.clip(np.divide(np.subtract(x, start), np.subtract(end, start)), 0.0, 1.0)


def clip(x: Value, lower: Value, upper: Value) -> Value:
    """x, but not below lower and not above upper."""
    return np.minimum(np.maximum(x, lower), upper)


def where(condition: Value, then: Value, otherwise: Value) -> Value:
    """then where the condition holds (is not 0), otherwise where it does not."""
    return np.where(np.not_equal(condition, 0.0), then, otherwise)


def smallest(*values: Value) -> Value:
    """The smallest of two or more."""
    result = values[0]
    for value in values[1:]:
        result = np.minimum(result, value)
    return result


def largest(*values: Value) -> Value:
    """The largest of two or more."""
    result = values[0]
    for value in values[1:]:
        result = np.maximum(result, value)
    return result


def absolute(x: Value) -> Value:
    """The size of x, without its sign."""
    return np.abs(x)


def exponential(x: Value) -> Value:
    """e to the power of x."""
    return np.exp(x)


def logarithm(x: Value) -> Value:
    """The natural logarithm; x must be positive."""
    return np.log(x)


def square_root(x: Value) -> Value:
    """The square root; x must not be negative."""
    return np.sqrt(x)


def sine(x: Value) -> Value:
    """The sine of an angle in radians."""
    return np.sin(x)


def cosine(x: Value) -> Value:
    """The cosine of an angle in radians."""
    return np.cos(x)


def hyperbolic_tangent(x: Value) -> Value:
    """Between -1 and 1, like x near 0."""
    return np.tanh(x)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "tolerance": tolerance,
    "at_least": at_least,
    "at_most": at_most,
    "ramp": ramp,
    "clip": clip,
    "where": where,
    "min": smallest,
    "max": largest,
    "abs": absolute,
    "exp": exponential,
    "log": logarithm,
    "sqrt": square_root,
    "sin": sine,
    "cos": cosine,
    "tanh": hyperbolic_tangent,
}


def usage(name: str) -> str:
    """How a function is called: ``clip(x, lower, upper)``."""
    parts = []
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            parts.append("x, y, ...")
        elif parameter.default is inspect.Parameter.empty:
            parts.append(parameter.name)
        else:
            parts.append(f"{parameter.name}={parameter.default:g}")
    return f"{name}({', '.join(parts)})"


def _bell(distance: Value, margin: float, value_at_margin: float) -> Value:
    """v^(δ²/margin²) for δ = max(0, distance); with no margin 1 where δ = 0 and 0 elsewhere."""
    if margin < 0:
        raise ValueError(f"margin must not be negative, got {margin:g}")
    if not 0 < value_at_margin < 1:
        raise ValueError(f"value_at_margin must lie between 0 and 1, got {value_at_margin:g}")
    if margin == 0:
        return np.less_equal(distance, 0.0) * 1.0
    beyond = np.maximum(distance, 0.0) / margin
    return np.exp(math.log(value_at_margin) * beyond * beyond)
