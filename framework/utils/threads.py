"""The number of threads: fixed, because sums depend on how they are split; and work that can be split as one likes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


def physical_cores() -> int:
    """Cores that this process may use, counting two hyper-threads of a core once; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
    else:
        allowed = set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    try:
        return (_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """The processor time that a container is held to, in whole cores."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return os.cpu_count() or 1


def pin_threads(threads: int | None = None) -> int:
    """Have torch use exactly ``threads`` threads (None: one a physical core); gives the number.

    Raises:
        ValueError: if ``threads`` is not positive.
    """
    import torch

    count = physical_cores() if threads is None else threads
    if count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    torch.set_num_threads(count)
    return count


def spread(function: Callable[[range], None], count: int) -> None:
    """Call ``function`` with pieces of ``range(count)``, at once on as many threads as torch uses.

    Worth while where most of the work is done without Python's lock. No piece may depend on another, so that how many
    there are changes nothing.

    Raises:
        Exception: what a piece raises, once all have ended.
    """
    import torch

    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        function(range(count))
        return
    first, *others = (range(count * piece // threads, count * (piece + 1) // threads) for piece in range(threads))
    running = [_pool(threads - 1).submit(function, piece) for piece in others]
    try:
        function(first)
    finally:
        # Nobody goes on while a piece is still at work.
        errors = [error for error in (each.exception() for each in running) if error is not None]
    if errors:
        raise errors[0]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="bfmkit")


# A child of fork has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
