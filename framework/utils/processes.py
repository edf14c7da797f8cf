"""Pool of worker processes with progress; results do not depend on their number."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, TypeVar

import torch

from bfmkit.utils.errors import JobError
from bfmkit.utils.stop_signals import ignore_stop_signals

Task = TypeVar("Task")
Result = TypeVar("Result")
Tell = Callable[[int], None]

TOLD_EVERY = 1.0
"""Seconds between two words of a process on how far it is."""


def in_processes(
    tasks: Sequence[Task],
    work: Callable[[Task, Tell], Result],
    workers: int,
    on_steps: Callable[[Task, int], None],
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, as soon as it has one.

    A process uses one thread, and takes the next task when it is done with one. For a single worker none is started.

    Args:
        tasks: what there is to do, the first first.
        work: does a task, and says by its second argument that so many steps are done; can be pickled.
        workers: how many processes, at most.
        on_steps: is told how many steps more a task has done.

    Raises:
        JobError: when a process dies; what its work raised stands on standard error then.
    """
    if min(workers, len(tasks)) < 2:
        for task in tasks:
            yield task, work(task, lambda steps, task=task: on_steps(task, steps))  # type: ignore[misc]
        return
    waiting = list(tasks)
    everyone = [_start(work) for _ in range(min(workers, len(tasks)))]
    try:
        busy: dict[Any, Task] = {channel: waiting.pop(0) for _, channel in everyone}
        for channel, task in busy.items():
            channel.send(task)
        while busy:
            ready: list[Any] = connection.wait(list(busy))
            for channel in ready:
                task = busy[channel]
                try:
                    steps, ended, result = channel.recv()
                except (EOFError, OSError):
                    raise JobError(f"a process died over {task}") from None
                on_steps(task, steps)
                if ended:
                    yield task, result
                    del busy[channel]
                    if waiting:
                        busy[channel] = waiting.pop(0)
                        channel.send(busy[channel])
    finally:
        for process, channel in everyone:
            channel.close()
            process.kill()
            process.join()


def _start(work: Callable[[Any, Tell], Any]) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    # Else the end of the channel would not be seen when the process dies.
    theirs.close()
    return process, ours


def _serve(channel: Any, work: Callable[[Any, Tell], Any]) -> None:
    """What a process does: tasks, until nobody sends any more, or listens."""
    ignore_stop_signals()
    torch.set_num_threads(1)
    told = [0, time.monotonic()]  # steps since the last word, and when that was

    def tell(steps: int) -> None:
        told[0] += steps
        if time.monotonic() - told[1] >= TOLD_EVERY:
            channel.send((told[0], False, None))
            told[:] = [0, time.monotonic()]

    # Where the parent has gone, sending fails, and with it the process.
    try:
        while True:
            task = channel.recv()
            result = work(task, tell)
            channel.send((told[0], True, result))
            told[0] = 0
    except (EOFError, OSError):
        return
