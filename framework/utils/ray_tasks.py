"""Pool of workers on Ray, on a cluster or this machine, with progress messages; needs the extra ``ray``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from bfmkit.utils.processes import Ended

Task = TypeVar("Task")

NICENESS = "RAY_worker_niceness"


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        ValueError: if it is not installed.
    """
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise ValueError("runner: Ray is not installed; pip install 'bfmkit[ray]'") from error


def in_ray(
    tasks: Sequence[Task],
    work: Callable[[Any], Iterator[Any]],
    prepare: Callable[[Task], Any],
    address: str | None = None,
    workers: int | None = None,
    resources: Callable[[Task], dict[str, Any]] = lambda _: {"num_cpus": 1},
    tries: int = 1,
) -> Iterator[tuple[Task, Any]]:
    """Messages of all tasks as they come; the last one of a task is :class:`~bfmkit.utils.processes.Ended`.

    Each task is one of Ray's own scheduler, and its messages come as a stream. Workers need not share a disk with this
    process.

    Args:
        tasks: what there is to do.
        work: yields the messages of a task. It must pickle.
        prepare: what ``work`` is given for a task, asked when it is about to start, and again after a death.
        address: of the cluster; None: Ray is started on this machine.
        workers: CPUs that Ray may use on this machine; None: all.
        resources: options of Ray for a task.
        tries: how often a task is started whose worker dies.
    """
    import ray

    started = not ray.is_initialized()
    if started:
        ours = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
        with _as_nice_as_this_process():
            ray.init(address=address, log_to_driver=False, **ours)
    try:
        yield from _messages(ray, tasks, work, prepare, resources, tries)
    finally:
        if started:
            ray.shutdown()


def _messages(
    ray: Any,
    tasks: Sequence[Task],
    work: Callable[[Any], Iterator[Any]],
    prepare: Callable[[Task], Any],
    resources: Callable[[Task], dict[str, Any]],
    tries: int,
) -> Iterator[tuple[Task, Any]]:
    remote = ray.remote(work)

    def start(task: Task) -> Any:
        # Ray would try again from the beginning; ``prepare`` knows what has been heard.
        options = {"max_retries": 0, "num_returns": "streaming"} | resources(task)
        return remote.options(**options).remote(prepare(task))

    streams = {start(task): (task, 1) for task in tasks}
    while streams:
        stream = ray.wait(list(streams), num_returns=1, fetch_local=False)[0][0]
        task, started = streams[stream]
        try:
            message = ray.get(next(stream))
        except StopIteration:
            del streams[stream]
            yield task, Ended()
        except ray.exceptions.RayTaskError as error:
            del streams[stream]
            yield task, Ended(error=f"{type(error.cause).__name__}: {error.cause}")
        except ray.exceptions.RayError as error:
            del streams[stream]
            if started < tries:
                streams[start(task)] = (task, started + 1)
            else:
                reason = " ".join(str(error).split())[:200]
                yield task, Ended(error=f"its worker died {tries} times ({type(error).__name__}: {reason})")
        else:
            yield task, message


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
