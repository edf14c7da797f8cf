"""Run directories: the files of a job, to be read, compared and resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfmkit.recipe.yaml_text import YamlError, read
from bfmkit.registry.messages import quoted
from bfmkit.utils.errors import RefusedError
from bfmkit.utils.files import plain_values, to_json, write_atomically
from bfmkit.utils.provenance import provenance

if TYPE_CHECKING:
    from bfmkit.interfaces import Job
    from bfmkit.recipe import Recipe

RECIPE, PROVENANCE, METRICS, SUMMARY = "recipe.yaml", "provenance.json", "metrics.jsonl", "summary.json"

ORACLE_METRICS, FLOOR_METRICS = "oracle.jsonl", "floor.jsonl"
"""The episodes of the oracle and of the floor, in the same words as the agent's."""


class RunDirectoryError(RefusedError, ValueError):
    """Error of a directory that cannot be used for a run."""


def default_out(recipe: Recipe, folder: Path = Path("runs")) -> Path:
    """Default run directory ``runs/<recipe>-<timestamp>``, which does not exist yet."""
    stem = folder / f"{recipe.name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    out = stem
    count = 1
    while out.exists():
        count += 1
        out = stem.with_name(f"{stem.name}-{count}")
    return out


@contextmanager
def open_run(out: Path, recipe: Recipe, facts: Mapping[str, Any]) -> Iterator[bool]:
    """Create a run directory, or reopen the one of the same recipe, for as long as the block lasts.

    Args:
        out: the directory.
        recipe: written to ``recipe.yaml``; on reopening, compared with it. What the job can extend may be larger.
        facts: go into ``provenance.json`` beside versions and git revision.

    Yields:
        Whether there is an earlier run to go on with.

    Raises:
        RunDirectoryError: if ``out`` holds something else, a run of another recipe, or one that is still running.
    """
    resumes = (out / RECIPE).is_file()
    is_longer = resumes and _require_same(out, recipe)
    if not resumes and out.exists() and (not out.is_dir() or any(each.name != ".lock" for each in out.iterdir())):
        raise RunDirectoryError(f"{out}: there is something here already, and it is no run directory")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _lock(out):
            _write_provenance(out, facts)
            if not resumes or is_longer:
                write_atomically(out / RECIPE, recipe.to_yaml())
            for name in (METRICS, ORACLE_METRICS, FLOOR_METRICS):
                cut_torn_line(out / name)
            yield resumes
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        if (out / RECIPE).is_file():
            raise
        raise RunDirectoryError(f"{out}: cannot be written: {error.strerror}") from error


def join_run(out: Path, recipe: Recipe, patience: float = 600.0) -> None:
    """Wait for another machine to open the run directory of the same recipe; nothing is written here.

    Args:
        out: the directory, on a disk that both see.
        recipe: compared with the one there.
        patience: seconds.

    Raises:
        RunDirectoryError: if it is the run of another recipe, or is not there in time.
    """
    deadline = time.monotonic() + patience
    while not (out / RECIPE).is_file():
        if time.monotonic() > deadline:
            raise RunDirectoryError(f"{out}: no run was opened here by the first machine; do both see this disk?")
        time.sleep(0.2)
    _require_same(out, recipe)


def read_recipe(path: Path) -> dict[str, Any]:
    """Resolved recipe in a file of a run directory.

    Raises:
        RunDirectoryError: if it cannot be read, or is no mapping.
    """
    try:
        tree = read(path.read_text(encoding="utf-8"))
    except (YamlError, OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise RunDirectoryError(f"{path}: is no recipe")
    return tree


def own_recipe(out: Path) -> dict[str, Any]:
    """Recipe of a run directory; empty for a job that was built in Python and has none."""
    return read_recipe(out / RECIPE) if (out / RECIPE).is_file() else {}


def _require_same(out: Path, recipe: Recipe) -> bool:
    """Refuse another recipe than that of the run; gives whether this one extends it."""
    earlier = read_recipe(out / RECIPE)
    trees = (earlier, read(recipe.to_yaml()))
    for tree in trees:
        for key in recipe.job_class.incidental:
            tree.pop(key, None)
    is_longer = _without_extensions(*trees, recipe.job_class)
    difference = first_difference(*trees)
    if difference is not None:
        raise RunDirectoryError(f"{out}: holds the run of another recipe; {difference}; choose another --out")
    return is_longer


def _without_extensions(earlier: dict[str, Any], now: dict[str, Any], job: type[Job]) -> bool:
    """Take counts out of both that are larger now; gives whether there was one."""
    is_longer = False
    for key in job.extendable:
        default = signature(job).parameters[key].default
        counts = earlier.get(key, default), now.get(key, default)
        if all(isinstance(count, int) for count in counts) and counts[0] < counts[1]:
            is_longer = True
            for tree in (earlier, now):
                tree.pop(key, None)
    return is_longer


def first_difference(earlier: Any, now: Any, path: str = "") -> str | None:
    """First difference of two resolved recipes, in words; None if they are equal."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for key in [*earlier, *(key for key in now if key not in earlier)]:
            where = f"{path}.{key}" if path else key
            if key not in now or key not in earlier:
                old, new = (quoted(tree[key]) if key in tree else "not said" for tree in (earlier, now))
                return f"{where} was {old} there and is {new} here"
            difference = first_difference(earlier[key], now[key], where)
            if difference is not None:
                return difference
        return None
    if earlier == now and isinstance(earlier, bool) == isinstance(now, bool):
        return None
    if isinstance(earlier, list) and isinstance(now, list):
        return f"{path} was {earlier} there and is {now} here"
    return f"{path} was {quoted(earlier)} there and is {quoted(now)} here"


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep a second process out for as long as this one lives; a killed process leaves nothing locked."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(out / ".lock", blocking=False):
            yield
    except Timeout as error:
        raise RunDirectoryError(f"{out}: another process is running here") from error


def _write_provenance(out: Path, facts: Mapping[str, Any]) -> None:
    now, earlier = provenance(facts), read_provenance(out)
    if earlier:
        now = {**earlier, "resumed": [*earlier.get("resumed", []), now]}
    write_atomically(out / PROVENANCE, to_json(now))


def read_provenance(out: Path) -> dict[str, Any]:
    """Content of ``provenance.json``; empty if it cannot be read."""
    try:
        facts = json.loads((out / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_summary(out: Path, summary: Mapping[str, Any]) -> None:
    """Write ``summary.json``."""
    write_atomically(out / SUMMARY, to_json(summary))


def append_metrics(out: Path, rows: Mapping[str, Any] | Iterable[Mapping[str, Any]], name: str = METRICS) -> None:
    """Append one row or several to ``metrics.jsonl``, or to ``name``, in one write."""
    rows = [rows] if isinstance(rows, Mapping) else list(rows)
    text = "".join(json.dumps(plain_values(row), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with (out / name).open("ab") as file:
        file.write(text.encode("utf-8"))


def rewrite_metrics(out: Path, rows: Iterable[Mapping[str, Any]], name: str = METRICS) -> None:
    """Write ``metrics.jsonl``, or ``name``, with these rows of it alone."""
    write_atomically(out / name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_metrics(out: Path, name: str = METRICS) -> list[dict[str, Any]]:
    """Rows of ``metrics.jsonl``, or of ``name``, without a torn last line.

    Raises:
        ValueError: if another line than the last is damaged.
    """
    path = out / name
    if not path.exists():
        return []
    whole = path.read_bytes().decode("utf-8", errors="replace").split("\n")[:-1]
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def cut_torn_line(path: Path) -> int:
    """Cut a torn last line; returns the number of bytes cut."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        file.truncate(whole)
    return len(data) - whole
