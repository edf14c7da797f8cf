from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bfmkit import threads


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_are_pinned() -> None:
    assert threads.pin_threads(1) == torch.get_num_threads() == 1
    assert threads.pin_threads() == torch.get_num_threads() == threads.physical_cores()
    with pytest.raises(ValueError, match="at least 1"):
        threads.pin_threads(0)


def test_two_hyper_threads_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(threads, "_CPUS", tmp_path)
    monkeypatch.setattr(threads, "_quota", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert threads.physical_cores() == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 7}, raising=False)
    assert threads.physical_cores() == 2  # one of the two, and one that nothing is known of
    monkeypatch.setattr(threads, "_quota", lambda: 1)
    assert threads.physical_cores() == 1
