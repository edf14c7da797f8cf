"""Number of threads: fixed, because sums depend on how they are split."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

_CPUS, _STAT = Path("/sys/devices/system/cpu"), Path("/proc/stat")

SHORTEST_LOOK = 0.2
"""Seconds of the shortest measurement of load: the clock behind it has a hundred ticks a second."""

SPIN_COUNT = "3000"
"""Of libgomp, whose own number is 300,000. Updates at width 256 with two threads on two cores, beside the speed of one
thread: with four other processes 0.03 to 0.09 with libgomp's number and 0.6 with this one, on free ones 1.0 and 0.9."""


def physical_cores() -> int:
    """Number of physical cores that this process may use, at least 1."""
    cores = {_siblings(cpu) for cpu in _allowed()}
    return max(1, min(len(cores), _quota()))


def _allowed() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


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


class CoreLoad:
    """Number of cores that other processes keep busy, measured since construction.

    Of Linux alone; elsewhere nobody is taken to be busy.
    """

    def __init__(self) -> None:
        self._begun = _clocks()

    def others(self) -> float:
        """Mean number of cores in use by others; waits for a measurement that has just begun."""
        while (now := _clocks()).time - self._begun.time < SHORTEST_LOOK:
            time.sleep(SHORTEST_LOOK / 4)
        spent = (now.everybody - self._begun.everybody) - (now.own - self._begun.own)
        return max(0.0, spent / (now.time - self._begun.time))


class _Clocks(NamedTuple):
    time: float
    everybody: float  # seconds of processors, over the cores that this process may use
    own: float


def _clocks() -> _Clocks:
    own = os.times()
    return _Clocks(
        time.monotonic(), _spent(_allowed()), own.user + own.system + own.children_user + own.children_system
    )


def _spent(cpus: set[int]) -> float:
    """Seconds that processors have worked since the machine started; 0 where that is not told."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return 0.0
    ticks = 0
    for line in lines:
        name, *numbers = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, (numbers + ["0"] * 8)[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Threads:
    """Number of torch's threads, and the reason."""

    count: int  # threads
    reason: str  # in words

    def __str__(self) -> str:
        return f"{self.count} thread{'' if self.count == 1 else 's'} ({self.reason})"


def choose_threads(load: CoreLoad) -> Threads:
    """Number of threads: one a free physical core, at least one.

    Threads that work together wait for the slowest. Where they share cores with other processes, one or the other of
    them is always waiting for a core, and all of them are slower than a single thread.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return Threads(int(asked), "OMP_NUM_THREADS")
    cores, others = physical_cores(), load.others()
    count = max(1, min(cores, round(cores - others)))
    known = f"{cores} core{'s' if cores > 1 else ''}"
    if count == cores:
        return Threads(count, f"{known}, free" if cores > 1 else known)
    return Threads(count, f"{known}, {others:.1f} of them busy with other processes; --threads overrides")


def limit_spinning() -> None:
    """Let OpenMP's threads sleep after waiting 50 microseconds instead of milliseconds.

    Must be called before torch is imported. While a thread spins for another one that has no core, it keeps that core
    from it. What ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` say already holds.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def pin_threads(count: int) -> None:
    """Set torch's number of threads to ``count``.

    Raises:
        ValueError: if ``count`` is not positive.
    """
    import torch

    if count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    torch.set_num_threads(count)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which torch has one thread, for sums that are to have the same bits with however many there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
