"""Counter-based noise: a function of (seed, stream, step), the same alone, in a batch and resumed."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, stream: str, step: int) -> np.random.Generator:
    """NumPy generator, a function of its three arguments.

    Philox is a counter-based generator: the key is (seed, stream), the counter starts at the step.

    Reference:
        Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011.
    """
    # Arrays, for Philox takes twice as long to read long integers.
    key = np.array([seed & (2**64 - 1), crc32(stream.encode())], dtype=np.uint64)
    counter = np.array([0, 0, step & (2**64 - 1), step >> 64], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def normal_noise(
    seeds: Sequence[int],  # one per run, B of them
    stream: str,
    steps: Sequence[int],  # B of them
    shape: tuple[int, ...],
) -> Tensor:  # (B, *shape) float64 on the CPU
    """Standard normal noise; row i depends on ``seeds[i]``, ``stream`` and ``steps[i]`` alone."""
    noise = np.empty((len(seeds), math.prod(shape)))
    for row, (seed, step) in enumerate(zip(seeds, steps, strict=True)):
        _READER.at(int(seed), stream, int(step)).standard_normal(out=noise[row])
    return torch.from_numpy(noise).reshape(len(seeds), *shape)


class _Reader(threading.local):
    """One generator a thread, that can be put anywhere: making one takes several times as long as a row of noise."""

    def __init__(self) -> None:
        self._philox = np.random.Philox(key=np.zeros(2, dtype=np.uint64))
        self._generator = np.random.Generator(self._philox)
        self._state: Any = self._philox.state

    def at(self, seed: int, stream: str, step: int) -> np.random.Generator:
        """What :func:`generator` gives, until the next call."""
        place = self._state["state"]
        place["key"][0], place["key"][1] = seed & (2**64 - 1), crc32(stream.encode())
        place["counter"][2], place["counter"][3] = step & (2**64 - 1), (step >> 64) & (2**64 - 1)
        self._philox.state = self._state
        return self._generator


_READER = _Reader()
