from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bfmkit.utils import threads


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


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_work_is_spread_over_as_many_threads_as_torch_uses(number: int, count: int) -> None:
    torch.set_num_threads(number)
    done: dict[int, str] = {}

    def work(pieces: range) -> None:
        done.update({piece: threading.current_thread().name for piece in pieces})
        wanted.wait(60)  # all of them at once

    wanted = threading.Barrier(min(number, count))
    threads.spread(work, count)
    assert set(done) == set(range(count))
    assert len(set(done.values())) == min(number, count)


def test_what_a_piece_raises_is_raised_when_all_have_ended() -> None:
    torch.set_num_threads(2)
    ended = []

    def work(pieces: range) -> None:
        if 1 in pieces:
            raise ArithmeticError("the second piece")
        ended.append(pieces)

    with pytest.raises(ArithmeticError, match="the second piece"):
        threads.spread(work, 2)
    assert ended == [range(1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_child_of_fork_starts_threads_of_its_own() -> None:
    torch.set_num_threads(2)
    threads.spread(lambda pieces: None, 2)
    child = os.fork()
    if child == 0:
        threads.spread(lambda pieces: None, 2)
        os._exit(0)
    until = time.monotonic() + 60
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    if found[0] == 0:
        os.kill(child, signal.SIGKILL)
    assert found == (child, 0)
