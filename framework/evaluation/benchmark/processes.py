"""Runner of groups in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection
from pathlib import Path
from typing import Any

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, run_group
from bfmkit.evaluation.benchmark.runners import TRIES, GroupDone, Prepare
from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.registry import discovery
from bfmkit.utils.stop_signals import ignore_stop_signals

_DONE = "done"


class Processes:
    """Several processes, each with one group at a time. One that dies is replaced, and its group goes on.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Run them."""
        waiting, deaths = list(groups), dict.fromkeys((group.key for group in groups), 0)
        busy: dict[Any, tuple[Any, Group]] = {}  # connection -> its process, and what it does
        idle: list[tuple[Any, Any]] = []
        try:
            while waiting or busy:
                while waiting and len(busy) < self._workers:
                    process, channel = idle.pop() if idle else self._start()
                    group = waiting.pop(0)
                    busy[channel] = (process, group)
                    # Should it have died meanwhile, the end of its channel says so below.
                    with suppress(OSError):
                        channel.send(prepare(group))
                ready: list[Any] = connection.wait(list(busy))
                for channel in ready:
                    process, group = busy[channel]
                    try:
                        news = channel.recv()
                    except (EOFError, OSError):
                        del busy[channel]
                        channel.close()
                        process.join()
                        deaths[group.key] += 1
                        if deaths[group.key] < TRIES:
                            waiting.insert(0, group)
                        else:
                            yield group, GroupDone(f"its process died {TRIES} times ({_how(process.exitcode)})")
                        continue
                    if news == _DONE:
                        idle.append((busy.pop(channel)[0], channel))
                        yield group, GroupDone()
                    else:
                        yield group, news
        finally:
            for process, channel in [*((process, channel) for channel, (process, _) in busy.items()), *idle]:
                channel.close()
                process.kill()
                process.join()

    def _start(self) -> tuple[Any, Any]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, str(Path.cwd())), daemon=True)
        process.start()
        # Else the end of the channel would not be seen when the process dies.
        theirs.close()
        return process, ours


def _work(channel: Any, folder: str) -> None:
    """What a process does: groups, until nobody sends any more."""
    ignore_stop_signals()
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    discovery.add_project(Path(folder))
    workbench = Workbench()
    while True:
        try:
            work = channel.recv()
        except (EOFError, OSError):
            return
        for news in run_group(work, workbench):
            channel.send(news)
        channel.send(_DONE)


def _leave_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
