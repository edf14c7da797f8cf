"""Runners of groups: in this process, in several, or with Ray. The numbers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, run_group
from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.registry import discovery
from bfmkit.utils.processes import Ended, Tell, in_processes
from bfmkit.utils.ray_tasks import in_ray, require_ray

Prepare = Callable[[Group], GroupTask]
"""How far a group is, by what has been heard of it: asked for when it is about to run, and again after a death."""

News = Iterator[tuple[Group, GroupEvent | Ended]]
"""What happens to groups, as it happens; :class:`Ended` is the last that is heard of one."""

Runner = Callable[[Sequence[Group], Prepare], News]
"""Runs groups, in their order as far as there are workers, and tells what happens."""

TRIES = 2
"""How often a group is started whose worker dies."""


class InProcess:
    """Runner of one group after another, here."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> News:
        """Run them."""
        threads = torch.get_num_threads()
        try:
            for group in groups:
                for news in run_group(prepare(group), self._workbench):
                    yield group, news
                yield group, Ended()
        finally:
            torch.set_num_threads(threads)


class Processes:
    """Runner in several processes of this machine, each with one group at a time; one that dies is replaced."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> News:
        """Run them."""
        return in_processes(groups, _Work(Path.cwd()), self._workers, prepare, TRIES)


class OnRay:
    """Runner with a task of Ray a group, on a cluster or this machine; needs the extra ``ray``.

    Nothing but the driver writes files, so workers need not share a disk with it; models and data sets must lie where
    they can read them.

    Args:
        address: of the cluster; None: Ray is started on this machine.
        workers: CPUs that Ray may use on this machine; None: all.

    Raises:
        ValueError: if Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        require_ray()
        self._address, self._workers = address, workers

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> News:
        """Run them."""
        folder = Path.cwd()
        return in_ray(
            groups, _stream, lambda group: (prepare(group), folder), self._address, self._workers, _resources, TRIES
        )


class _Work:
    """Runs groups in one process, with one model and environment for all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._workbench = folder, Workbench()

    def __call__(self, task: GroupTask, tell: Tell) -> None:
        discovery.add_project(self._folder)
        for event in run_group(task, self._workbench):
            tell(event)


def _stream(work: tuple[GroupTask, Path]) -> Iterator[GroupEvent]:
    task, folder = work
    discovery.add_project(folder)
    yield from run_group(task)


def _resources(group: Group) -> dict[str, Any]:
    return {"num_cpus": group.threads} | ({"num_gpus": 1} if group.device.startswith("cuda") else {})
