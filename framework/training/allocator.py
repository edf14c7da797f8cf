"""Memory of the allocator (glibc): freed pages are kept for the next update or step."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 32 << 20


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, instead of handing it to the system and asking for it again.

    An update, or a step of many runs, makes and frees some hundred tensors of a few megabytes. Memory fresh from the
    system costs a page fault every 4 KiB, and on a virtual machine that can take longer than what is computed with it.
    Blocks of more than ``LARGEST_KEPT`` bytes still go back. Nothing happens where the C library is not GNU's.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
