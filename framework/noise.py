"""Noise as a function of (seed, stream, step), so that a run is the same alone, in a batch, and after a resume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, stream: str, step: int) -> np.random.Generator:
    """A NumPy generator whose whole output is fixed by its three arguments.

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
        generator(int(seed), stream, int(step)).standard_normal(out=noise[row])
    return torch.from_numpy(noise).reshape(len(seeds), *shape)
