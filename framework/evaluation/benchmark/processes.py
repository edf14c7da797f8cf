"""Runner of groups in processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, run_group
from bfmkit.evaluation.benchmark.runners import TRIES, GroupDone, Prepare
from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.registry import discovery
from bfmkit.utils.processes import Ended, Tell, in_processes


class Processes:
    """Several processes, each with one group at a time. One that dies is replaced, and its group goes on.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Run them."""
        for group, message in in_processes(groups, _Work(Path.cwd()), self._workers, prepare, TRIES):
            yield group, GroupDone(message.error) if isinstance(message, Ended) else message


class _Work:
    """Runs groups in one process, with one model and environment for all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._workbench = folder, Workbench()

    def __call__(self, task: GroupTask, tell: Tell) -> None:
        discovery.add_project(self._folder)
        for event in run_group(task, self._workbench):
            tell(event)
