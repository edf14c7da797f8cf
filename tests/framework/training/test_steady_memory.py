from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, torch
from bfmkit.training.steady_memory import keep_freed_memory
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_is_not_asked_for_again_and_again() -> None:
    def faults(ask: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", ROUNDS.format(ask=ask)], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    page = 4096
    assert faults("keep_freed_memory()") < 30 * 4_000_000 / page / 10
    assert faults("") > 30 * 4_000_000 / page
