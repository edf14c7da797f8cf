"""Asks the C library to keep memory that was freed."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let this process reuse freed memory instead of returning it to the system; gives whether that worked.

    glibc maps every block above 128 KiB afresh and unmaps it when freed, so that each activation of a network is paid
    for in page faults. On virtual machines these cost more than the arithmetic: `tests/benchmarks/memory.py` prints
    the difference. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    gigabyte = 1 << 30
    settings = ((_MMAP_THRESHOLD, gigabyte), (_TRIM_THRESHOLD, gigabyte), (_TOP_PAD, 1 << 26))
    return all(mallopt(setting, value) == 1 for setting, value in settings)
