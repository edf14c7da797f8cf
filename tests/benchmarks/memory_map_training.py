"""Resident memory and time of a pretraining on many transitions, as it goes on.

    python tests/benchmarks/memory_map_training.py                      10,000,000 transitions of the walker's sizes
    python tests/benchmarks/memory_map_training.py --transitions 200000 --updates 100

Makes the data (noise; 3.6 GB on disk at full size), runs the job ``pretrain`` on them with the networks of the shipped
walker recipe, and says for each fifth of the updates how long one took and how much memory was resident at most, once
without and once with the pages of mapped files, which the system takes back when it needs them. Exits with 1 if the
former is ever more than ``--limit`` GiB, or grows from the second fifth to the last by more than a twentieth. Linux
only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from tensordict import TensorDict

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import EnvironmentSpec, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.training.pretraining_options import HardwareOptions
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.threads import physical_cores, pin_threads

WALKER = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand", "walk", "run", "flip"))
BLOCK, TOGETHER = 100_000, 10


def resident() -> tuple[int, int]:
    """Bytes that are this process's own, and all that it has in memory."""
    text = Path("/proc/self/status").read_text()
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(Rss\w+|VmRSS):\s+(\d+) kB", text, re.MULTILINE)}
    return found["RssAnon"] + found["RssShmem"], found["VmRSS"]


class Watch(threading.Thread):
    """Keeps the largest numbers it sees, since it was last asked."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._own = self._all = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            own, everything = resident()
            self._own, self._all = max(self._own, own), max(self._all, everything)

    def largest(self) -> tuple[int, int]:
        found = resident()
        largest = max(self._own, found[0]), max(self._all, found[1])
        self._own = self._all = 0
        return largest


class Watched(MemoryMapDataset):
    """Notes time and memory whenever the batches of a group of updates are read."""

    def __init__(self, path: Path, watch: Watch, rows: int) -> None:
        super().__init__(path)
        self._watch, self._rows = watch, rows
        self.seen: list[tuple[float, int, int]] = []

    def read_keys(self, indices: torch.Tensor, keys: list) -> TensorDict:
        if len(indices) == self._rows:
            self.seen.append((time.perf_counter(), *self._watch.largest()))
        return super().read_keys(indices, keys)

    def fifths(self) -> list[tuple[float, int, int]]:
        """Seconds that a group took (the median), and the most memory, of the own and of all."""
        size = (len(self.seen) - 1) // 5
        found = []
        for first in range(0, 5 * size, size):
            groups = self.seen[first : first + size + 1]
            seconds = median(later[0] - earlier[0] for earlier, later in pairwise(groups))
            found.append((seconds, max(each[1] for each in groups[1:]), max(each[2] for each in groups[1:])))
        return found


def generate(folder: Path, count: int, shards: int) -> None:
    """Episodes of noise, in a few shards."""
    claim(folder, WALKER)
    rows = empty_transitions(WALKER, BLOCK)
    with ProgressBar("generate", count, unit="transitions") as bar:
        for number in range(shards):
            left = count // shards
            writer = ShardWriter(folder, f"shard-{number:03d}", WALKER, left)
            while left:
                piece = rows[: min(left, BLOCK)]
                for key in ("observation", "action", ("next", "observation"), ("next", "physics")):
                    piece[key].uniform_(-1, 1)
                writer.append(piece)
                left -= len(piece)
                bar.advance(len(piece))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--updates", type=int, default=500, help="at least 100")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--limit", type=float, default=3.0, help="GiB")
    parser.add_argument("--data", type=Path, help="where to keep the data for another time; else they are removed")
    parser.add_argument("--threads", type=int, default=physical_cores(), help="one a physical core")
    arguments = parser.parse_args()
    pin_threads(arguments.threads)
    out = Path(tempfile.mkdtemp(prefix="memory-"))
    data = arguments.data or out / "data"
    try:
        if not data.exists():
            generate(data, arguments.transitions, arguments.shards)
        networks = {"type": "two_stream", "width": arguments.width, "encoder_width": 256}
        objective = {"type": "forward_backward", "bfm": {"type": "forward_backward", "dim": 50, "networks": networks}}
        watch = Watch()
        dataset = Watched(data, watch, TOGETHER * arguments.batch)
        job = PretrainJob(
            dataset, defer(Objective, objective), arguments.updates, arguments.batch,
            hardware=HardwareOptions(updates_per_step=TOGETHER, data_device="disk"),
        )  # fmt: skip
        before, _ = resident()
        watch.start()
        summary = job.run(out, torch.device("cpu"))
        watch.stop.set()
        watch.join()
    finally:
        shutil.rmtree(out)
    gib = 1 << 30
    print(f"{summary['transitions']:,} transitions, {summary['updates']} updates in {summary['seconds']:.1f} s")
    print(f"before training: {before / gib:.2f} GiB")
    fifths = dataset.fifths()
    for number, (seconds, own, everything) in enumerate(fifths, 1):
        print(
            f"fifth {number}: {1000 * seconds / TOGETHER:.1f} ms an update; resident beyond the page cache "
            f"{own / gib:.3f} GiB, with mapped pages {everything / gib:.2f} GiB"
        )
    largest = max(own for _, own, _ in [*fifths, (0.0, *watch.largest())])
    print(f"at most {largest / gib:.2f} GiB beyond the page cache")
    return int(largest > arguments.limit * gib or fifths[-1][1] > 1.05 * fifths[1][1])


if __name__ == "__main__":
    sys.exit(main())
