"""Resident memory of a pretraining on many transitions, beyond the page cache.

    python tests/benchmarks/memory_map_training.py                      10,000,000 transitions of the walker's sizes
    python tests/benchmarks/memory_map_training.py --transitions 200000 --updates 50

Makes the data (noise; 3.6 GB on disk at full size), runs the job ``pretrain`` on them, and says how much memory was
resident at most, once without and once with the pages of mapped files, which the system takes back when it needs
them. Exits with 1 if the former is more than ``--limit`` GiB. Linux only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.deferred import Deferred
from bfmkit.interfaces import EnvironmentSpec, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.progress import Progress
from bfmkit.threads import pin_threads

WALKER = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand", "walk", "run", "flip"))
BLOCK = 100_000


def resident() -> tuple[int, int]:
    """Bytes that are this process's own, and all that it has in memory."""
    text = Path("/proc/self/status").read_text()
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(Rss\w+|VmRSS):\s+(\d+) kB", text, re.MULTILINE)}
    return found["RssAnon"] + found["RssShmem"], found["VmRSS"]


class Watch(threading.Thread):
    """Keeps the largest numbers it sees."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.all = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            own, everything = resident()
            self.own, self.all = max(self.own, own), max(self.all, everything)


def generate(folder: Path, count: int, shards: int) -> None:
    """Episodes of noise, in a few shards."""
    claim(folder, WALKER)
    rows = empty_transitions(WALKER, BLOCK)
    with Progress("generate", count, unit="transitions") as bar:
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
    parser.add_argument("--updates", type=int, default=500)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--limit", type=float, default=3.0, help="GiB")
    parser.add_argument("--data", type=Path, help="where to keep the data for another time; else they are removed")
    parser.add_argument("--threads", type=int, help="one a physical core")
    arguments = parser.parse_args()
    pin_threads(arguments.threads)
    out = Path(tempfile.mkdtemp(prefix="memory-"))
    data = arguments.data or out / "data"
    try:
        if not data.exists():
            generate(data, arguments.transitions, arguments.shards)
        networks = {"type": "simple", "width": arguments.width, "encoder_width": 256}
        objective = {"type": "forward_backward", "bfm": {"type": "forward_backward", "dim": 50, "networks": networks}}
        job = PretrainJob(
            MemoryMapDataset(data), Deferred.of(Objective, objective), arguments.updates, arguments.batch,
            updates_per_step=10,
        )  # fmt: skip
        before, _ = resident()
        watch = Watch()
        watch.start()
        summary = job.run(out, torch.device("cpu"))
        watch.stop.set()
        watch.join()
    finally:
        shutil.rmtree(out)
    gib = 1 << 30
    print(f"{summary['transitions']:,} transitions, {summary['updates']} updates in {summary['seconds']:.1f} s")
    print(
        f"resident beyond the page cache: {watch.own / gib:.2f} GiB at most, of them {before / gib:.2f} before training"
    )
    print(f"with mapped pages: {watch.all / gib:.2f} GiB")
    return int(watch.own > arguments.limit * gib)


if __name__ == "__main__":
    sys.exit(main())
