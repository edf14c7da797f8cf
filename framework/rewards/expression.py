"""Typed rewards: formulas over named physics quantities.

``upright * tolerance(horizontal_velocity, 2, 3, margin=1)``

Python's own parser reads the text, and its tree is walked by hand against a list of what is allowed: names of
quantities, numbers, arithmetic, comparisons, ``and``, ``or``, ``not``, and the functions of
:mod:`bfmkit.rewards.functions`. Nothing of it is ever compiled or evaluated as Python.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.functions import FUNCTIONS, usage
from bfmkit.utils.errors import RefusedError

STEP = "step"
"""The name of the clock: control steps since the episode began, the first being 1."""

LONGEST = 1000
"""Characters."""
DEEPEST = 40
"""Levels of brackets and operators within one another."""
LARGEST_NUMBER = 1e12
LARGEST_EXPONENT = 8.0

_FOREIGN = re.compile(r"[^A-Za-z0-9_.+\-*/%(),<>=! \t\r\n]")
_INSTEAD = {
    "&": "say `and`",
    "|": "say `or`",
    "~": "say `not`",
    "^": "a power is written **",
    "×": "say *",
    "²": "say **2",
}

_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)")

Table = Mapping[str, Any]
"""Name -> a number, or an array (n,)."""


class RewardError(RefusedError, ValueError):
    """Error in a typed reward, with its column.

    Args:
        text: the reward.
        column: where, counted from 1.
        reason: for whoever typed it.
    """

    def __init__(self, text: str, column: int, reason: str) -> None:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        super().__init__(f'reward "{" ".join(shown.split())}", column {column}: {reason}')
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class RewardExpression:
    """Reward as a function of a table of quantities, of numbers or of arrays."""

    text: str
    names: frozenset[str]
    """The quantities it looks at, ``step`` among them if the reward changes with time."""
    _evaluate: Callable[[Table], Any] = field(repr=False, compare=False)

    def __call__(self, table: Table) -> Any:
        """Reward; NaN or infinite where the formula is undefined, such as at a division by zero."""
        with np.errstate(all="ignore"):
            return self._evaluate(table)


@lru_cache(maxsize=256)
def parse_reward(text: str, quantities: tuple[str, ...]) -> RewardExpression:
    """Parsed reward.

    Args:
        text: what was typed.
        quantities: the names that it may use, beside ``step``.

    Raises:
        RewardError: with the column of the first thing that is not allowed.
    """
    _check_characters(text)
    _check_brackets(text)
    reader = _Reader(text, quantities)
    part = reader.read(_syntax_tree(text), 1)
    return RewardExpression(text, frozenset(reader.used), part.evaluate)


def split_name(task: str) -> tuple[str | None, str]:
    """Name and formula of a named reward, ``kneel = upright * (torso_height < 0.8)``; no name for any other task.

    Example:
        >>> split_name("low = torso_height < 0.8")
        ('low', ' torso_height < 0.8')
        >>> split_name("walk")
        (None, 'walk')
    """
    match = _NAMED.match(task)
    return (match[1], task[match.end() :]) if match else (None, task)


def task_title(task: str) -> str:
    """Title of a task in tables and figures: its name, or its formula without one."""
    return split_name(task)[0] or task


def _check_characters(text: str) -> None:
    if not text.strip():
        raise RewardError(text, 1, "there is nothing here; a reward is a formula such as 2 * upright")
    if len(text) > LONGEST:
        raise RewardError(text, LONGEST + 1, f"a reward has at most {LONGEST} characters, this one {len(text)}")
    foreign = _FOREIGN.search(text)
    if foreign:
        hint = _INSTEAD.get(foreign[0])
        raise RewardError(
            text, foreign.start() + 1, f"{foreign[0]!r} has no place in a reward{f'; {hint}' if hint else ''}"
        )


def _check_brackets(text: str) -> None:
    # Before Python's parser sees them: it gives up on its own terms.
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth > DEEPEST:
            raise RewardError(text, index + 1, f"brackets are nested more than {DEEPEST} deep")


def _syntax_tree(text: str) -> ast.expr:
    # Of the same length, so that columns stay true; Python would take blanks at the start for indentation.
    line = re.sub(r"[\t\r\n]", " ", text)
    blanks = len(line) - len(line.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that touch words, such as 1and
            tree = ast.parse(line.strip(), mode="eval").body
    except SyntaxError as error:
        if not error.offset:
            raise RewardError(text, len(text.rstrip()) + 1, "the formula breaks off here") from None
        raise RewardError(text, error.offset + blanks, f"this cannot be read: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError):
        raise RewardError(text, 1, "this cannot be read: too deep, or a number too long") from None
    for node in ast.walk(tree):
        if hasattr(node, "col_offset"):
            node.col_offset += blanks
            node.end_col_offset = (node.end_col_offset or 0) + blanks  # type: ignore[attr-defined]
    return tree


@dataclass(frozen=True)
class _Part:
    """Part of a formula, with its value if that is constant."""

    evaluate: Callable[[Table], Any]
    constant: float | None = None


_ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_LOGIC: dict[type[ast.boolop], Callable[..., Any]] = {ast.And: np.logical_and, ast.Or: np.logical_or}


class _Reader:
    """Translator of a syntax tree into nested functions of a table; ``used`` collects the names it meets."""

    def __init__(self, text: str, quantities: tuple[str, ...]) -> None:
        self.text = text
        self.names = (*quantities, *(() if STEP in quantities else (STEP,)))
        self.used: set[str] = set()

    def read(self, node: ast.expr, depth: int) -> _Part:
        if depth > DEEPEST:
            raise self.refused(node.col_offset, f"this is nested more than {DEEPEST} deep")
        match node:
            case ast.Constant():
                return self.number(node)
            case ast.Name():
                return self.quantity(node)
            case ast.BinOp():
                return self.arithmetic(node, depth)
            case ast.UnaryOp():
                return self.sign(node, depth)
            case ast.Compare():
                return self.comparison(node, depth)
            case ast.BoolOp():
                logic = _LOGIC[type(node.op)]
                parts = [self.read(each, depth + 1) for each in node.values]
                return self.combine(node, lambda *values: _numbers(_fold(logic, values)), parts)
            case ast.Call():
                return self.call(node, depth)
            case ast.Attribute():
                raise self.refused(
                    (node.end_col_offset or 0) - len(node.attr), f'".{node.attr}": nothing here has parts'
                )
            case ast.IfExp():
                raise self.refused(node.col_offset, "say where(condition, then, otherwise) for a choice")
            case ast.Starred():
                raise self.refused(node.col_offset, "arguments are written one by one")
            case ast.Tuple():
                raise self.refused(
                    node.col_offset, "a reward is one number, not several; several tasks are a list, [walk, run]"
                )
        raise self.refused(
            node.col_offset, "only names, numbers, arithmetic, comparisons and function calls are allowed"
        )

    def refused(self, offset: int, reason: str) -> RewardError:
        return RewardError(self.text, offset + 1, reason)

    def number(self, node: ast.Constant) -> _Part:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(node.col_offset, f"{value!r} is not a number")
        if not abs(value) <= LARGEST_NUMBER:
            raise self.refused(node.col_offset, f"numbers go up to {LARGEST_NUMBER:g}")
        return _constant(float(value))

    def quantity(self, node: ast.Name) -> _Part:
        name = node.id
        if name in self.names:
            self.used.add(name)
            return _Part(lambda table: table[name])
        if name in FUNCTIONS:
            raise self.refused(node.col_offset, f"{name} is a function: {usage(name)}")
        choices = (*self.names, *FUNCTIONS)
        raise self.refused(node.col_offset, f'no quantity "{name}"{suggestion(name, choices)} {one_of(self.names)}')

    def arithmetic(self, node: ast.BinOp, depth: int) -> _Part:
        compute = _ARITHMETIC.get(type(node.op))
        if compute is None:
            raise self.refused(self.operator_offset(node), "this operator is not one of + - * / % **")
        parts = [self.read(node.left, depth + 1), self.read(node.right, depth + 1)]
        if isinstance(node.op, ast.Pow) and not abs(_value_or_nan(parts[1])) <= LARGEST_EXPONENT:
            limit = f"{-LARGEST_EXPONENT:g} and {LARGEST_EXPONENT:g}"
            raise self.refused(node.right.col_offset, f"an exponent must be a number between {limit}")
        return self.combine(node, compute, parts)

    def operator_offset(self, node: ast.BinOp) -> int:
        offset = node.left.end_col_offset or 0
        while self.text[offset] in ") \t\r\n":
            offset += 1
        return offset

    def sign(self, node: ast.UnaryOp, depth: int) -> _Part:
        part = self.read(node.operand, depth + 1)
        if isinstance(node.op, ast.Not):
            return self.combine(node, lambda value: _numbers(np.logical_not(value)), [part])
        if isinstance(node.op, ast.USub):
            return self.combine(node, np.negative, [part])
        return part

    def comparison(self, node: ast.Compare, depth: int) -> _Part:
        parts = [self.read(each, depth + 1) for each in (node.left, *node.comparators)]
        compares = [_COMPARISONS.get(type(each)) for each in node.ops]
        if None in compares:
            raise self.refused(node.col_offset, "numbers are compared with < <= > >= == !=")

        def compute(*values: Any) -> Any:
            pairs = zip(compares, values, values[1:], strict=False)
            return _numbers(_fold(np.logical_and, [compare(one, two) for compare, one, two in pairs if compare]))

        return self.combine(node, compute, parts)

    def call(self, node: ast.Call, depth: int) -> _Part:
        if not isinstance(node.func, ast.Name):
            if isinstance(node.func, ast.Attribute):
                self.read(node.func, depth)
            raise self.refused(node.func.col_offset, "only functions can be called, by their name")
        name = node.func.id
        if name not in FUNCTIONS:
            reason = f"{name} is a quantity, not a function" if name in self.names else f'no function "{name}"'
            raise self.refused(node.func.col_offset, f"{reason}{suggestion(name, FUNCTIONS)} {one_of(FUNCTIONS)}")
        given = [self.read(each, depth + 1) for each in node.args]
        parameters = inspect.signature(FUNCTIONS[name]).parameters
        if next(iter(parameters.values())).kind is inspect.Parameter.VAR_POSITIONAL:
            if node.keywords or len(given) < 2:
                raise self.refused(node.func.col_offset, f"{usage(name)} takes two or more, without names")
            return self.combine(node, FUNCTIONS[name], given)
        arguments = self.bind(node, name, given, depth)
        for parameter, part in arguments.items():
            if parameters[parameter].annotation == "Constant" and part.constant is None:
                raise self.refused(node.func.col_offset, f"{parameter} of {name} must be a number, not a quantity")
        return self.combine(node, FUNCTIONS[name], list(arguments.values()))

    def bind(self, node: ast.Call, name: str, given: list[_Part], depth: int) -> dict[str, _Part]:
        """Arguments of the function by name, in the order of its signature."""
        parameters = inspect.signature(FUNCTIONS[name]).parameters
        if len(given) > len(parameters):
            raise self.refused(node.args[len(parameters)].col_offset, f"one too many for {usage(name)}")
        bound = dict(zip(parameters, given, strict=False))
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.refused(keyword.col_offset, "arguments are written one by one")
            if keyword.arg not in parameters:
                hint = suggestion(keyword.arg, parameters)
                raise self.refused(keyword.col_offset, f'{name} has no argument "{keyword.arg}"{hint}: {usage(name)}')
            if keyword.arg in bound:
                raise self.refused(keyword.col_offset, f"{keyword.arg} is given twice")
            bound[keyword.arg] = self.read(keyword.value, depth + 1)
        for parameter in parameters.values():
            if parameter.name not in bound:
                if parameter.default is inspect.Parameter.empty:
                    raise self.refused(node.func.col_offset, f"{parameter.name} is missing: {usage(name)}")
                bound[parameter.name] = _constant(parameter.default)
        return {parameter: bound[parameter] for parameter in parameters}

    def combine(self, node: ast.expr, compute: Callable[..., Any], parts: list[_Part]) -> _Part:
        """Function of the parts' values; evaluated at once if all are constant."""
        known = [_value_or_nan(part) for part in parts]
        try:
            with np.errstate(all="ignore"):
                # What is not known yet is NaN here, so that a function can complain of the constants it gets.
                value = float(compute(*known))
        except ValueError as error:
            raise self.refused(node.col_offset, str(error)) from None
        if all(part.constant is not None for part in parts):
            if not math.isfinite(value):
                raise self.refused(node.col_offset, "this is not a finite number")
            return _constant(value)
        steps = [part.evaluate for part in parts]
        if len(steps) == 2:
            first, second = steps
            return _Part(lambda table: compute(first(table), second(table)))
        return _Part(lambda table: compute(*[step(table) for step in steps]))


def _constant(value: float) -> _Part:
    return _Part(lambda _: value, value)


def _value_or_nan(part: _Part) -> float:
    return math.nan if part.constant is None else part.constant


def _fold(compute: Callable[[Any, Any], Any], values: Any) -> Any:
    result = values[0]
    for value in values[1:]:
        result = compute(result, value)
    return result


def _numbers(truth: Any) -> Any:
    """1.0 where true, 0.0 where false."""
    return np.multiply(truth, 1.0)
