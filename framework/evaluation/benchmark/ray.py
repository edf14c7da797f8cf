"""Runner of groups with Ray, on a cluster or this machine; needs the extra ``ray``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, run_group
from bfmkit.evaluation.benchmark.runners import TRIES, GroupDone, Prepare
from bfmkit.registry import discovery
from bfmkit.utils.processes import Ended
from bfmkit.utils.ray_tasks import in_ray, require_ray


class OnRay:
    """Each group is a task of Ray. Nothing but the driver writes files, so workers need not share a disk with it;
    models and data sets must lie where they can read them.

    Args:
        address: of the cluster; None: Ray is started on this machine.
        workers: CPUs that Ray may use on this machine; None: all.

    Raises:
        ValueError: if Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        require_ray()
        self._address, self._workers = address, workers

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Run them."""
        folder = Path.cwd()
        for group, message in in_ray(
            groups, _work, lambda group: (prepare(group), folder), self._address, self._workers, _resources, TRIES
        ):
            yield group, GroupDone(message.error) if isinstance(message, Ended) else message


def _resources(group: Group) -> dict[str, Any]:
    return {"num_cpus": group.threads} | ({"num_gpus": 1} if group.device.startswith("cuda") else {})


def _work(work: tuple[GroupTask, Path]) -> Iterator[GroupEvent]:
    task, folder = work
    discovery.add_project(folder)
    yield from run_group(task)
