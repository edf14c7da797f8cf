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
    threads.pin_threads(1)
    assert torch.get_num_threads() == 1
    threads.pin_threads(3)
    assert torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="at least 1"):
        threads.pin_threads(0)


class Machine:
    """A /proc/stat, and a clock that it goes by: ``busy`` cores are used by others, one by this process."""

    def __init__(self, cores: int, busy: float, own: float, file: Path) -> None:
        self.cores, self.busy, self.own, self.file, self.now = cores, busy, own, file, 100.0
        self.tick(0)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        hertz = os.sysconf("SC_CLK_TCK")
        each = round(self.now * (self.busy + self.own) / self.cores * hertz / 8)
        idle = round(self.now * hertz)
        # user nice system idle iowait irq softirq steal guest guest_nice; a guest's time is in that of its user.
        line = f"{each * 3} {each} {each} {idle} {idle} {each} {each} {each} {each} 0"
        cpus = [f"cpu{cpu} {line}" for cpu in range(self.cores)]
        self.file.write_text("\n".join([f"cpu  {line}", *cpus, f"cpu{self.cores} {9 * idle} 0 0 0", "ctxt 1"]))

    def monotonic(self) -> float:
        return self.now

    def times(self) -> os.times_result:
        return os.times_result((self.own * self.now * 0.75, self.own * self.now * 0.25, 0.0, 0.0, self.now))


@pytest.mark.parametrize(
    ("cores", "others", "own", "count", "words"),
    [
        (2, 0.0, 0.9, 2, "2 threads (2 cores, free)"),
        (2, 0.3, 0.9, 2, "2 threads (2 cores, free)"),
        (2, 1.6, 0.4, 1, "1 thread (2 cores, 1.6 of them busy with other processes; --threads overrides)"),
        (2, 1.0, 1.0, 1, "1 thread (2 cores, 1.0 of them busy with other processes; --threads overrides)"),
        (8, 3.0, 1.0, 5, "5 threads (8 cores, 3.0 of them busy with other processes; --threads overrides)"),
        (8, 8.0, 0.0, 1, "1 thread (8 cores, 8.0 of them busy with other processes; --threads overrides)"),
        (1, 0.0, 1.0, 1, "1 thread (1 core)"),
    ],
)
def test_a_core_that_is_busy_with_something_else_gets_no_thread(
    cores: int, others: float, own: float, count: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(cores, others, own, tmp_path / "stat")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_STAT", machine.file)
    monkeypatch.setattr(threads, "_allowed", lambda: set(range(cores)))
    monkeypatch.setattr(threads, "physical_cores", lambda: cores)
    monkeypatch.setattr(threads.time, "monotonic", machine.monotonic)
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: machine.tick(1000 * seconds))
    monkeypatch.setattr(threads.os, "times", machine.times)
    chosen = threads.choose_threads(threads.CoreLoad())
    assert (chosen.count, str(chosen)) == (count, words)


def test_what_the_environment_says_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert str(threads.choose_threads(threads.CoreLoad())) == "3 threads (OMP_NUM_THREADS)"
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    threads.limit_spinning()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    threads.limit_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == threads.SPIN_COUNT
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    threads.limit_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_where_load_is_not_told_all_cores_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_STAT", tmp_path / "nowhere")
    assert threads.choose_threads(threads.CoreLoad()).count == threads.physical_cores()


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
