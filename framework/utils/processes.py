"""Pool of worker processes with progress messages; a worker that dies is replaced, and its task restarted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, TypeVar

import torch

from bfmkit.utils.errors import JobError
from bfmkit.utils.stop_signals import ignore_stop_signals

Task = TypeVar("Task")
Tell = Callable[[Any], None]

TOLD_EVERY = 1.0
"""Seconds between two words of a process on how far it is."""


@dataclass(frozen=True)
class Ended:
    """Last message of a task."""

    result: Any = None  # what its work returned
    error: str | None = None  # what its work raised, or how its process died each time it was tried; None: it is done


def in_processes(
    tasks: Sequence[Task],
    work: Callable[[Any, Tell], Any],
    workers: int,
    prepare: Callable[[Task], Any] | None = None,
    tries: int = 1,
) -> Iterator[tuple[Task, Any]]:
    """Messages of all tasks as they come; the last one of a task is :class:`Ended`.

    A process uses one thread, and takes the next task when it is done with one. It ends with this one.

    Args:
        tasks: what there is to do, the first first.
        work: does a task and returns its result; what it gives its second argument is a message. It must pickle.
        workers: how many processes, at most.
        prepare: what ``work`` is given for a task, asked when it is about to start; the task itself if not given.
        tries: how often a task is started whose process dies.
    """
    waiting, deaths = list(range(len(tasks))), [0] * len(tasks)
    busy: dict[Any, tuple[Any, int]] = {}  # connection -> its process, and its task
    idle: list[tuple[Any, Any]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                process, channel = idle.pop() if idle else _start(work)
                index = waiting.pop(0)
                busy[channel] = process, index
                # Should it have died meanwhile, the end of its channel says so below.
                with suppress(OSError):
                    channel.send(tasks[index] if prepare is None else prepare(tasks[index]))
            ready: list[Any] = connection.wait(list(busy))
            for channel in ready:
                process, index = busy[channel]
                try:
                    message = channel.recv()
                except (EOFError, OSError):
                    del busy[channel]
                    channel.close()
                    process.join()
                    deaths[index] += 1
                    if deaths[index] < tries:
                        waiting.insert(0, index)
                    else:
                        times = f" {tries} times" if tries > 1 else ""
                        yield tasks[index], Ended(error=f"its process died{times} ({_how(process.exitcode)})")
                    continue
                if isinstance(message, Ended):
                    idle.append((busy.pop(channel)[0], channel))
                yield tasks[index], message
    finally:
        for process, channel in [*((process, channel) for channel, (process, _) in busy.items()), *idle]:
            channel.close()
            process.kill()
            process.join()


def results_in_processes(
    tasks: Sequence[Task],
    work: Callable[[Any, Callable[[int], None]], Any],
    workers: int,
    on_steps: Callable[[Task, int], None],
) -> Iterator[tuple[Task, Any]]:
    """Tasks with their results as they finish; a single worker runs in this process.

    Args:
        tasks: what there is to do, the first first.
        work: does a task, and says by its second argument that so many steps are done. It must pickle.
        workers: how many processes, at most.
        on_steps: is told how many steps more a task has done.

    Raises:
        JobError: if a task raises an error, or its process dies.
    """
    if min(workers, len(tasks)) < 2:
        for task in tasks:
            yield task, work(task, lambda steps, task=task: on_steps(task, steps))  # type: ignore[misc]
        return
    for task, message in in_processes(tasks, _Counted(work), workers):
        if not isinstance(message, Ended):
            on_steps(task, message)
        elif message.error is not None:
            raise JobError(f"{task}: {message.error}")
        else:
            yield task, message.result


class _Counted:
    """Work that tells its steps once in a while."""

    def __init__(self, work: Callable[[Any, Callable[[int], None]], Any]) -> None:
        self._work = work

    def __call__(self, task: Any, tell: Tell) -> Any:
        told = [0, time.monotonic()]  # steps since the last word, and when that was

        def count(steps: int) -> None:
            told[0] += steps
            if time.monotonic() - told[1] >= TOLD_EVERY:
                tell(int(told[0]))
                told[:] = [0, time.monotonic()]

        result = self._work(task, count)
        tell(int(told[0]))
        return result


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
    # It starts no process itself, and semaphores of this kind have no name that would outlive it when it is killed.
    multiprocessing.set_start_method("fork", force=True)
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            task = channel.recv()
            try:
                ended = Ended(work(task, channel.send))
            except Exception as error:  # noqa: BLE001  whatever it is, the parent is told
                ended = Ended(error=f"{type(error).__name__}: {error}")
            channel.send(ended)


def _leave_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
