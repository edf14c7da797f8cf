"""Physics quantities of recorded steps: computed in parallel and cached.

Every reward is a function of the quantities, so it is these that take long and are kept: once they are there, a
further reward over the same data takes no physics. They lie in ``$BFMKIT_CACHE/quantities`` (by default
``~/.cache/bfmkit/quantities``), a safetensors file each, named by a digest of the data and of all else that they depend
on, the version of the physics engine among it. The folder may be deleted at any time; ``BFMKIT_CACHE=off`` keeps
nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from bfmkit.interfaces import Environment
from bfmkit.utils.files import write_atomically
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.threads import physical_cores

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "BFMKIT_CACHE"
KEPT_FROM = 2_000
"""Fewer steps are not worth a file."""
SHOWN_FROM = 20_000
"""Fewer steps take a few seconds at most, and go without a bar."""
PARALLEL_FROM = 50_000
"""Fewer steps are done before other processes have started."""
CHUNK = 2_000


def recorded_quantities(
    environment: Environment,
    physics: Tensor,  # (n, p)
    action: Tensor,  # (n, a)
    workers: int | None = None,
) -> dict[str, Tensor]:  # name -> (n,) float64
    """Physics quantities of recorded steps, from the cache if they are there.

    Args:
        environment: whose quantities; it is not disturbed.
        physics: after each step.
        action: that led there.
        workers: processes; None: one a core for many steps, and none but this one for few.

    Raises:
        ValueError: if sizes do not fit.
    """
    file = _cache_file(environment, physics, action)
    if file is not None:
        kept = _read(file, environment, len(physics))
        if kept is not None:
            return kept
    if workers is None:
        workers = physical_cores() if len(physics) >= PARALLEL_FROM else 1
    pieces = _parallel(environment, physics, action, workers) if workers > 1 else None
    if pieces is None:
        pieces = _shown(map(environment.quantities, physics.split(CHUNK), action.split(CHUNK)), len(physics))
    found = {name: torch.cat([piece[name] for piece in pieces]) for name in environment.spec.quantities}
    if file is not None:
        _write(file, found)
    return found


def cache_folder() -> Path | None:
    """Folder of cached quantities; None if nothing is cached."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "off":
        return None
    return (Path(chosen) if chosen else Path.home() / ".cache" / "bfmkit") / "quantities"


def _shown(pieces: Iterator[dict[str, Tensor]], total: int) -> list[dict[str, Tensor]]:
    with ProgressBar("relabel", total) if total >= SHOWN_FROM else nullcontext() as bar:
        done = []
        for piece in pieces:
            done.append(piece)
            if bar is not None:
                bar.advance(len(next(iter(piece.values()))))
        return done


def _parallel(
    environment: Environment, physics: Tensor, action: Tensor, workers: int
) -> list[dict[str, Tensor]] | None:
    # Fresh processes: a fork of one in which torch has threads can hang.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _adopt, (environment,)) as pool:
            chunks = zip(physics.cpu().split(CHUNK), action.cpu().split(CHUNK), strict=True)
            # As arrays: tensors would travel through shared memory, which containers have little of.
            arrays = [(one.numpy(), other.numpy()) for one, other in chunks]
            pieces = pool.map(_measure, *zip(*arrays, strict=True))
            return _shown(
                ({name: torch.from_numpy(each) for name, each in piece.items()} for piece in pieces), len(physics)
            )
    except BrokenProcessPool:
        # A script without a __main__ guard cannot start processes.
        logger.warning("no further processes can be started here; relabelling in this one")
        return None


_adopted: list[Environment] = []


def _adopt(environment: Environment) -> None:
    torch.set_num_threads(1)
    _adopted[:] = [environment]


def _measure(physics: np.ndarray, action: np.ndarray) -> dict[str, np.ndarray]:
    found = _adopted[0].quantities(torch.from_numpy(physics), torch.from_numpy(action))
    return {name: column.numpy() for name, column in found.items()}


def _cache_file(environment: Environment, physics: Tensor, action: Tensor) -> Path | None:
    folder = cache_folder()
    if folder is None or len(physics) < KEPT_FROM or environment.measurement is None:
        return None
    facts = [environment.measurement, environment.spec.quantities, tuple(physics.shape), tuple(action.shape)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for recorded in (physics.double(), action.float()):
        digest.update(recorded.contiguous().numpy(force=True).tobytes())
    return folder / f"{digest.hexdigest()}.safetensors"


def _read(file: Path, environment: Environment, rows: int) -> dict[str, Tensor] | None:
    try:
        kept = load_tensors(file.read_bytes())
    except (OSError, SafetensorError):
        return None
    names = environment.spec.quantities
    if set(kept) != set(names) or any(kept[name].shape != (rows,) for name in names):
        return None
    return {name: kept[name] for name in names}


def _write(file: Path, found: dict[str, Tensor]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, save_tensors({name: column.contiguous() for name, column in found.items()}))
    except OSError as error:
        logger.warning("quantities are not kept for another time: %s", error)
