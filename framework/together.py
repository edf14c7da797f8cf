"""Several processes that train one model: on this machine, and on others that run the same command."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning.pytorch.strategies import DDPStrategy, Strategy

from bfmkit.interfaces import JobFailed

LONGEST_WAIT = timedelta(hours=6)
"""Others wait for the first process while it tries the model out."""
GRACE_SECONDS = 10.0


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
        # Buffers are functions of the data, and the same everywhere.
        return DDPStrategy(
            cluster_environment=_Placed(self),
            process_group_backend=backend,
            broadcast_buffers=False,
            timeout=LONGEST_WAIT,
        )


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
        JobFailed: if they are not set.
    """
    if devices * nodes == 1:
        return Place()
    if nodes == 1:
        return Place(devices, port=find_free_network_port())
    try:
        address, port, node = (os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"))
        place = Place(devices, nodes, int(node), 0, address, int(port))
    except (KeyError, ValueError) as error:
        raise JobFailed(
            f"{nodes} machines need MASTER_ADDR (of the first), MASTER_PORT (any that is free there) and NODE_RANK "
            f"(0 on the first, then 1, ...) in the environment of each: {error}"
        ) from error
    if not 0 <= place.node < nodes:
        raise JobFailed(f"NODE_RANK must lie between 0 and {nodes - 1}, got {place.node}")
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
        JobFailed: if one of them failed, with what it said.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    threads = max(1, torch.get_num_threads() // place.devices)
    places = [replace(place, local=local) for local in range(1, place.devices)]
    others = [
        context.Process(target=_accompany, args=(work, out, device, each, threads, messages), daemon=True)
        for each in places
    ]
    before = torch.get_num_threads()
    for process in others:
        process.start()
    torch.set_num_threads(threads)
    try:
        yield
        for process in others:
            process.join()
    except Exception as error:
        # When one fails, the others lose the connection: what the first one said is what matters.
        said = _first_message(others, messages)
        if said is not None and not isinstance(error, JobFailed):
            raise JobFailed(f"one of the processes failed: {said}") from error
        raise
    finally:
        torch.set_num_threads(before)
        for process in others:
            process.terminate()
            process.join()


def _first_message(others: list, messages: Any) -> str | None:
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        if not messages.empty():
            return messages.get()
        if not any(process.is_alive() for process in others):
            break
        time.sleep(0.05)
    return None if messages.empty() else messages.get()


def _accompany(
    work: Work, out: Path, device: torch.device, place: Place, threads: int, messages: multiprocessing.Queue[str]
) -> None:
    # Ctrl-C reaches all processes of a terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    try:
        work(out, device, place)
    except Exception as error:
        messages.put(f"{type(error).__name__}: {error}")
        raise
