from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, torch
from bfmkit.training.allocator import keep_freed_memory
{ask}
def work():
    return [torch.ones(1_000_000) for _ in range(30)]
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
# glibc moves its threshold by itself as large blocks are freed, unless it is given one: then every block of 4 MB goes
# back to the system. How many faults that costs depends on the system's pages, so only the two are compared.
GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 17), "MALLOC_TRIM_THRESHOLD_": str(1 << 17)}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_is_not_asked_for_again_and_again() -> None:
    def faults(ask: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", ROUNDS.format(ask=ask)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **GIVING_BACK},
        )
        return int(done.stdout)

    kept, given_back = faults("keep_freed_memory()"), faults("")
    assert kept < given_back / 3
