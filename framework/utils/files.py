"""Atomic file writes, and JSON without NaN."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_json(value: Any) -> str:
    """Indented JSON; a number that JSON has no word for (NaN, infinity) becomes null."""
    return json.dumps(plain_values(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain_values(value: Any) -> Any:
    """Plain Python values of mappings, lists, arrays and tensors; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, bool | str | int | None):
        return value
    if hasattr(value, "tolist"):  # arrays, tensors and their scalars
        return plain_values(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically: to a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def expand_home(path: str | Path) -> Path:
    """Path with a leading ``~`` or ``~USER`` replaced by that home folder; unchanged where there is none."""
    return Path(os.path.expanduser(path))
