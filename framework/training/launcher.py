"""Several processes that train one model: on this machine, and on others that run the same command."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch.nn.parallel import DistributedDataParallel

from bfmkit.interfaces import JobError
from bfmkit.utils.stop_signals import ignore_stop_signals

LONGEST_WAIT = timedelta(hours=6)
"""Others wait for the first process while it tries the model out."""
GRACE_SECONDS, POLL_SECONDS = 10.0, 0.5


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train together.

    Args:
        devices: processes on each machine, one a device.
        nodes: machines.
        node: which of them this is.
        local: which process of the machine this is.
        address: of the first machine.
        port: at which its first process waits for the others.
    """

    devices: int = 1
    nodes: int = 1
    node: int = 0
    local: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def rank(self) -> int:
        """Among all processes; the first one writes."""
        return self.node * self.devices + self.local

    @property
    def processes(self) -> int:
        """How many there are."""
        return self.nodes * self.devices

    def device(self, asked: torch.device) -> torch.device:
        """Which device is this process's, counted on from the one that was asked for."""
        if asked.type != "cuda":
            return asked
        return torch.device("cuda", (asked.index or 0) + self.local)

    def strategy(self, device: torch.device) -> str | Strategy:
        """Lightning's strategy."""
        if self.processes == 1:
            return "auto"
        backend = "nccl" if device.type == "cuda" else "gloo"
        # Buffers are functions of the data, and the same everywhere; torch 2.13 has a new word for leaving them alone.
        words = inspect.signature(DistributedDataParallel).parameters
        word = "forward_sync_buffers" if "forward_sync_buffers" in words else "broadcast_buffers"
        leave: dict[str, Any] = {word: False}
        return DDPStrategy(process_group_backend=backend, timeout=LONGEST_WAIT, **leave)

    def environment(self) -> ClusterEnvironment:
        """Lightning's view of it, in the place of what it would read from the variables of schedulers and torchrun."""
        return _Placed(self)


class _Placed(LightningEnvironment):
    """Tells Lightning what is known already, so that it starts no processes and reads no environment variables."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._place.address

    @property
    def main_port(self) -> int:
        return self._place.port

    def local_rank(self) -> int:
        return self._place.local

    def node_rank(self) -> int:
        return self._place.node


def first_place(devices: int, nodes: int) -> Place:
    """The place of this machine's first process.

    On several machines, ``MASTER_ADDR``, ``MASTER_PORT`` and ``NODE_RANK`` say where the first one is and which one
    this is, as schedulers and ``torchrun`` set them.

    Raises:
        JobError: if they are not set.
    """
    if devices * nodes == 1:
        return Place()
    if nodes == 1:
        return Place(devices, port=find_free_network_port())
    try:
        address, port, node = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"))
        place = Place(devices, nodes, int(node), 0, address, int(port))
    except (KeyError, ValueError) as error:
        raise JobError(
            f"{nodes} machines need MASTER_ADDR (of the first), MASTER_PORT (any that is free there) and NODE_RANK "
            f"(0 on the first, then 1, ...) in the environment of each: {error}"
        ) from error
    if not 0 <= place.node < nodes:
        raise JobError(f"NODE_RANK must lie between 0 and {nodes - 1}, got {place.node}")
    return place


Work = Callable[[Path, torch.device, Place], Any]


@contextmanager
def companions(place: Place, work: Work, out: Path, device: torch.device) -> Iterator[None]:
    """The other processes of this machine, for as long as the block lasts.

    Args:
        place: of this process.
        work: what they do; it must pickle.
        out: the run directory.
        device: that was asked for.

    Raises:
        JobError: if one of them failed, with what it said.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    before = torch.get_num_threads()
    threads = max(1, before // place.devices)
    others = [
        context.Process(
            target=_accompany, args=(work, out, device, replace(place, local=local), threads, messages), daemon=True
        )
        for local in range(1, place.devices)
    ]
    for process in others:
        process.start()
    over = threading.Event()
    threading.Thread(target=_watch, args=(others, messages, over), daemon=True).start()
    torch.set_num_threads(threads)
    try:
        yield
        for process in others:
            process.join()
    except Exception as error:
        # When one fails, the others lose the connection to it: what the first one said is what matters.
        said = _what_was_said(others, messages)
        if said is not None and not isinstance(error, JobError):
            raise JobError(f"one of the processes failed: {said}") from error
        raise
    finally:
        over.set()
        torch.set_num_threads(before)
        for process in others:
            process.kill()
            process.join()


def _watch(others: list, messages: Any, over: threading.Event) -> None:
    """End this process if it still waits for one that has failed: such a wait cannot be broken off in another way.

    A run directory is made for that; the same command goes on.
    """
    while not over.wait(POLL_SECONDS):
        if any(process.exitcode not in (None, 0) for process in others):
            if not over.wait(GRACE_SECONDS):
                said = _what_was_said(others, messages) or "it gave no reason"
                sys.stderr.write(f"bfmkit: one of the processes failed: {said}\n")
                sys.stderr.flush()
                os._exit(1)
            return


def _what_was_said(others: list, messages: Any) -> str | None:
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        try:
            return messages.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if not any(process.is_alive() for process in others):
                break
    return None


def _accompany(
    work: Work, out: Path, device: torch.device, place: Place, threads: int, messages: multiprocessing.Queue[str]
) -> None:
    ignore_stop_signals()
    torch.set_num_threads(threads)
    try:
        work(out, device, place)
    except KeyboardInterrupt:
        # All processes stop together; the first one says so.
        return
    except Exception as error:
        messages.put(f"{type(error).__name__}: {error}")
        raise
