"""Runner of groups with Ray, on a cluster or this machine; needs the extra ``ray``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, run_group
from bfmkit.evaluation.benchmark.runners import TRIES, GroupDone, Prepare
from bfmkit.registry import discovery

NICENESS = "RAY_worker_niceness"


class OnRay:
    """Each group is a task of Ray's own scheduler, and its news come as a stream. Nothing but the driver writes files,
    so workers need not share a disk with it; models and data sets must lie where they can read them.

    Args:
        address: of the cluster; None: Ray is started on this machine.
        workers: CPUs that Ray may use on this machine; None: all.

    Raises:
        ValueError: if Ray is not installed.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("runner: Ray is not installed; pip install 'bfmkit[ray]'") from error
        self._ray: Any = ray
        self._address, self._workers = address, workers

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Run them."""
        ray, started = self._ray, not self._ray.is_initialized()
        if started:
            ours = {"num_cpus": self._workers, "include_dashboard": False} if self._address is None else {}
            with _as_nice_as_this_process():
                ray.init(address=self._address, log_to_driver=False, **ours)
        try:
            yield from self._run(groups, prepare)
        finally:
            if started:
                ray.shutdown()

    def _run(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        ray, task = self._ray, self._ray.remote(_work)

        def start(group: Group) -> Any:
            # Ray would try again from the beginning; we go on from what we have heard.
            options = {"num_cpus": group.threads, "max_retries": 0, "num_returns": "streaming"}
            if group.device.startswith("cuda"):
                options["num_gpus"] = 1
            return task.options(**options).remote(prepare(group), str(Path.cwd()))

        streams = {start(group): (group, 1) for group in groups}
        while streams:
            stream = ray.wait(list(streams), num_returns=1, fetch_local=False)[0][0]
            group, tries = streams[stream]
            try:
                news = ray.get(next(stream))
            except StopIteration:
                del streams[stream]
                yield group, GroupDone()
            except ray.exceptions.RayError as error:
                del streams[stream]
                if tries < TRIES:
                    streams[start(group)] = (group, tries + 1)
                else:
                    reason = " ".join(str(error).split())[:200]
                    yield group, GroupDone(f"its worker died {TRIES} times ({type(error).__name__}: {reason})")
            else:
                yield group, news


@contextmanager
def _as_nice_as_this_process() -> Iterator[None]:
    """A Ray that is started meanwhile does not make its workers give way to everybody else, unless it was told to.

    Ray does so by default, to keep a desk usable; on a machine with other jobs a benchmark would stand still for them,
    as it does with no other runner. A cluster that runs already has been told by whoever started it.
    """
    if NICENESS in os.environ:
        yield
        return
    os.environ[NICENESS] = "0"
    try:
        yield
    finally:
        del os.environ[NICENESS]


def _work(work: GroupTask, folder: str) -> Iterator[GroupEvent]:
    if Path(folder).is_dir():
        discovery.add_project(Path(folder))
    yield from run_group(work)
