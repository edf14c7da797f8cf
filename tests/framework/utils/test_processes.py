from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bfmkit.utils.processes import Ended, Tell, in_processes


def square(number: int, tell: Tell) -> int:
    if number < 0:
        raise ValueError("negative")
    for step in range(number):
        tell(step)
    return number * number


def die_once(path: Path, tell: Tell) -> str:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(task: Any, tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_messages_results_and_errors_come_with_their_task() -> None:
    heard: dict[int, list] = {}
    for task, message in in_processes([3, -1, 2], square, workers=2):
        heard.setdefault(task, []).append(message)
    assert heard == {
        3: [0, 1, 2, Ended(9)],
        2: [0, 1, Ended(4)],
        -1: [Ended(error="ValueError: negative")],
    }


def test_a_task_whose_process_dies_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "tried"
    assert list(in_processes([path], die_once, workers=1, tries=2)) == [(path, Ended("done"))]


def test_a_task_whose_process_dies_each_time_is_given_up() -> None:
    assert list(in_processes(["a"], die, workers=1)) == [("a", Ended(error="its process died (by SIGKILL)"))]


HELD: list[Any] = []


def hold_a_lock(task: Any, tell: Tell) -> None:
    HELD.append(multiprocessing.Value("q", 0))  # as a replay buffer of TorchRL does
    tell("locked")


def test_processes_that_are_killed_leave_no_semaphores() -> None:
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_processes import hold_a_lock\n"
        "from bfmkit.utils.processes import in_processes\n"
        "print(list(in_processes(['a'], hold_a_lock, workers=1)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "locked" in done.stdout
    assert done.stderr == ""
