"""Parts of error messages: nearest names, lists of choices, quoted values."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def nearest(word: Any, choices: Iterable[str]) -> str | None:
    """Choice that ``word`` is most likely a misspelling of; None without a near one."""
    near = get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str | None) -> str:
    """Text ``; did you mean "x"?``; empty for None."""
    return f'; did you mean "{word}"?' if word else ""


def suggestion(word: Any, choices: Iterable[str]) -> str:
    """Text ``; did you mean "x"?`` for the nearest choice; empty without a near one."""
    return did_you_mean(nearest(word, choices))


def one_of(choices: Iterable[str]) -> str:
    """Text ``(a, b, c)`` of choices."""
    listed = list(choices)
    return f"({', '.join(listed)})" if listed else "(there are none)"


def quoted(value: Any) -> str:
    """Value as YAML has it: text in quotes, ``true``, "nothing", "a list", "a mapping"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)
