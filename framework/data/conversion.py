"""Conversion of other libraries' data into memory maps, done once.

    FOLDER/
      spec.json, shard-000 ...   as the job collect leaves them
      source.json                what it was made of: files, their sizes and checksums, what was skipped and why

It is made under another name and renamed when it is whole, so a conversion that was killed leaves nothing half done.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tensordict import TensorDictBase

from bfmkit.data.shards import ShardWriter, claim, empty_transitions, read_spec
from bfmkit.data.source_record import SOURCE, read_record, skipped_line
from bfmkit.interfaces import EnvironmentSpec, JobError
from bfmkit.utils.files import to_json, write_atomically
from bfmkit.utils.progress_bar import ProgressBar

SHARD = "shard-000"


class DataError(JobError, ValueError):
    """Error of data that cannot be used; the message names the file and the fault."""


class Piece(NamedTuple):
    """Episode of the source: name, size, number of steps and time of change are known before it is read."""

    name: str
    size: int
    steps: int
    read: Callable[[], tuple[TensorDictBase, str]]
    """Gives its transitions and a checksum; raises DataError if it cannot be used."""
    mtime_ns: int = 0
    """When it was last changed; 0 if nobody knows: the first and the last of such episodes are compared each time."""


def converted(
    folder: Path,
    spec: EnvironmentSpec,
    pieces: Sequence[Piece],
    skip_corrupt: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Convert ``pieces`` into the memory map ``folder`` unless that is done; skipped episodes are reported on each use.

    Args:
        folder: of the memory map.
        spec: of the data.
        pieces: episodes, in order.
        skip_corrupt: leave out episodes that cannot be used, and count them; otherwise the first one is an error.
        settings: what else the numbers depend on, as JSON has it; with others the conversion is done anew.

    Returns:
        What ``source.json`` says: ``files``, ``skipped``, ``transitions``, ``checksum``, ``settings``.

    Raises:
        DataError: naming the file that is wrong, how much room is missing, or a folder of something else.
    """
    settings = settings or {}
    with _alone(folder):
        known = _known(folder, spec, pieces, settings)
        if known is None:
            known = _convert(folder, spec, pieces, skip_corrupt, settings)
    if known["skipped"] and not skip_corrupt:
        raise DataError(f"{known['skipped'][0]['why']} (skip_corrupt: true leaves such episodes out)")
    line = skipped_line(folder, known)
    if line is not None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    return known


def _known(
    folder: Path, spec: EnvironmentSpec, pieces: Sequence[Piece], settings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Record of an earlier conversion of the same files; None if there is none, or the source has changed."""
    known = read_record(folder)
    if known is None or known.get("settings", {}) != settings:
        return None
    try:
        rows = {row["name"]: row for row in [*known["files"], *known["skipped"]]}
        listed = {(name, row["size"], row["steps"]) for name, row in rows.items()}
        read_spec(folder).require_compatible(spec, "the data")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if listed != {(piece.name, piece.size, piece.steps) for piece in pieces}:
        return None
    touched = [piece for piece in pieces if rows[piece.name].get("mtime_ns") != piece.mtime_ns]
    if not touched and all(piece.mtime_ns == 0 for piece in pieces):
        return known if _are_the_same([*pieces[:1], *pieces[1:][-1:]], rows) else None
    if touched:
        if not _are_the_same(touched, rows):
            return None
        for piece in touched:
            rows[piece.name]["mtime_ns"] = piece.mtime_ns
        with suppress(OSError):  # on a medium that cannot be written they are compared each time
            write_atomically(folder / SOURCE, to_json(known))
    return known


def _are_the_same(touched: Sequence[Piece], rows: dict[str, dict[str, Any]]) -> bool:
    """Whether episodes with another time of change, such as copies, are still those that were converted."""
    with ProgressBar("compare", len(touched), unit="episodes") as bar:
        for piece in touched:
            try:
                checksum = piece.read()[1]
            except DataError:
                checksum = None
            if checksum != rows[piece.name].get("sha256"):
                return False
            bar.advance()
    return True


def _convert(
    folder: Path, spec: EnvironmentSpec, pieces: Sequence[Piece], skip_corrupt: bool, settings: Mapping[str, Any]
) -> dict[str, Any]:
    if folder.exists() and not (folder / SOURCE).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: holds something else, which is not written over (cache: names another place)")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    total = sum(piece.steps for piece in pieces)
    _require_room(folder, spec, total)
    files: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    try:
        claim(partial, spec)
        writer = ShardWriter(partial, SHARD, spec, max(total, 1))
        _take_room(partial / SHARD)
        with ProgressBar("convert", len(pieces), unit="episodes") as bar:
            for piece in pieces:
                row = {"name": piece.name, "size": piece.size, "steps": piece.steps, "mtime_ns": piece.mtime_ns}
                try:
                    transitions, checksum = piece.read()
                except DataError as error:
                    if not skip_corrupt:
                        raise DataError(f"{error} (skip_corrupt: true leaves such episodes out)") from error
                    skipped.append({**row, "why": str(error)})
                    bar.say(f"skipped: {error}")
                else:
                    writer.append(transitions)
                    files.append({**row, "sha256": checksum})
                bar.advance()
        if not files:
            raise DataError(f"none of {len(pieces)} episodes can be used; the first: {skipped[0]['why']}")
        digest = hashlib.sha256("\n".join(f"{row['name']} {row['sha256']}" for row in files).encode()).hexdigest()
        source = {"transitions": writer.count, "checksum": digest, "files": files, "skipped": skipped}
        source |= {"settings": dict(settings)} if settings else {}
        del writer
        write_atomically(partial / SOURCE, to_json(source))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: the memory map cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return source


def bytes_needed(spec: EnvironmentSpec, transitions: int) -> int:
    """Size on disk of so many transitions."""
    row = empty_transitions(spec, 1)
    return transitions * sum(value.numel() * value.element_size() for value in row.values(True, True))


def _require_room(folder: Path, spec: EnvironmentSpec, transitions: int) -> None:
    place = folder.parent
    while not place.exists():
        place = place.parent
    needed, free = bytes_needed(spec, transitions), shutil.disk_usage(place).free
    if needed > free:
        unit, name = (10**9, "GB") if needed >= 10**9 else (10**6, "MB")
        # Up and down, so that the two numbers never look as if it fitted.
        takes, has = math.ceil(100 * needed / unit) / 100, math.floor(100 * free / unit) / 100
        raise DataError(
            f"{folder}: the memory map of {transitions:,} transitions takes {takes:.2f} {name}, and "
            f"{has:.2f} {name} are free there (cache: names another place)"
        )


def _take_room(shard: Path) -> None:
    """Reserve disk space for the files: on a full disk, writing through a memory map kills the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    for file in shard.rglob("*.memmap"):
        size = file.stat().st_size
        if size:
            with file.open("rb+") as handle:
                os.posix_fallocate(handle.fileno(), 0, size)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Context of a lock that lets one process convert while others wait."""
    from filelock import FileLock

    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        if not (folder / SOURCE).is_file():  # else a medium that cannot be written, and need not be
            raise DataError(f"{folder}: cannot be made: {error.strerror} (cache: names another place)") from error
    try:
        yield
    finally:
        lock.release()
