"""Processes that train one model, as Lightning, torchrun, SLURM or Kubernetes start them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from bfmkit.utils.errors import JobError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments import ClusterEnvironment

LONGEST_WAIT = timedelta(hours=6)
"""Others wait for the first process while it evaluates."""

RANKS = ("RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "LOCAL_RANK", "NODE_RANK")
MEETING_PLACE = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
KUBERNETES = ("KUBERNETES_PORT", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")
SET_BY_LIGHTNING = (*MEETING_PLACE, "LOCAL_RANK", "WORLD_SIZE")


def is_first_process() -> bool:
    """Whether no launcher says that this process is another one than the first."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def is_launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return any(name in os.environ for name in RANKS)


def cluster_environment(devices: int, nodes: int) -> ClusterEnvironment | None:
    """Lightning's cluster environment where it is known; None leaves it to Lightning to recognise the launcher.

    A training of one process is by itself, also in a shell that a scheduler has opened; so is one that was started as
    the only process of a SLURM job, and starts the others itself.

    Raises:
        JobError: if torchrun started another number of processes, or several machines are not told where to meet.
    """
    from lightning.fabric.plugins.environments import (
        KubeflowEnvironment,
        LightningEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )

    processes = devices * nodes
    if TorchElasticEnvironment.detect():
        started = int(os.environ["WORLD_SIZE"])
        if started != processes:
            raise JobError(
                f"torchrun started {started} processes, and the recipe trains with {processes}: set devices and nodes"
            )
        return None if processes > 1 else LightningEnvironment()
    slurm = SLURMEnvironment.detect() and os.environ.get("SLURM_NTASKS") == str(processes)
    if processes > 1 and slurm:
        return None
    # Lightning knows it, and does not look for it.
    if processes > 1 and all(name in os.environ for name in KUBERNETES):
        return KubeflowEnvironment()
    missing = [name for name in MEETING_PLACE if name not in os.environ]
    if nodes > 1 and missing:
        raise JobError(
            f"{nodes} machines need MASTER_ADDR (of the first), MASTER_PORT (any that is free there) and NODE_RANK "
            f"(0 on the first, then 1, ...) in the environment of each; missing: {', '.join(missing)}"
        )
    return LightningEnvironment()


def cluster_arguments(device: torch.device, devices: int, nodes: int, idle: bool = False) -> dict[str, Any]:
    """Arguments of Lightning's Trainer for so many devices, counted on from ``device``.

    Args:
        device: the first one.
        devices: how many a machine has of them.
        nodes: how many machines there are.
        idle: whether updates may leave some parameters without a gradient.

    Raises:
        JobError: as :func:`cluster_environment`.
    """
    environment = cluster_environment(devices, nodes)
    first = device.index or 0
    return {
        "accelerator": "gpu" if device.type == "cuda" else "cpu",
        "devices": list(range(first, first + devices)) if device.type == "cuda" else devices,
        "num_nodes": nodes,
        "strategy": "auto" if devices * nodes == 1 else _data_parallel(idle),
        "plugins": [] if environment is None else [environment],
    }


def _data_parallel(idle: bool) -> Any:
    from lightning.pytorch.strategies import DDPStrategy
    from torch.nn.parallel import DistributedDataParallel

    # Buffers are functions of the data, and the same everywhere; torch 2.13 has a new word for leaving them alone.
    words = inspect.signature(DistributedDataParallel).parameters
    word = "forward_sync_buffers" if "forward_sync_buffers" in words else "broadcast_buffers"
    leave: dict[str, Any] = {word: False}
    return DDPStrategy(timeout=LONGEST_WAIT, find_unused_parameters=idle, **leave)


@contextmanager
def shared_machine(devices: int) -> Iterator[None]:
    """Divide torch's threads by the processes of this machine; what a launcher leaves behind is taken back."""
    names = (*SET_BY_LIGHTNING, "OMP_NUM_THREADS")
    before, threads = {name: os.environ.get(name) for name in names}, torch.get_num_threads()
    share = max(1, threads // devices)
    # Lightning's launcher chooses a number of its own where this is not set.
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    torch.set_num_threads(share)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
