"""What batching the cells of a benchmark gains, what Ray costs, and whether memory stays flat over many cells.

    python tests/benchmarks/batched_cells.py
    python tests/benchmarks/batched_cells.py --ray
    python tests/benchmarks/batched_cells.py --memory

The first runs the cells of ``benchmark_quick`` (4 tasks x 10 seeds) in one process, once batched as the job does it and
once one after another, which is the same with ``batch_size=1``. Building the job is not counted. The second runs long
cells one after another in this process and by a single worker of Ray, with and without the start of Ray. The third runs
1,000 short cells of a finite problem and prints the memory in use as they go by.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bfmkit.jobs.benchmark import BenchmarkJob
from bfmkit.recipe import load_recipe

MDP = "{layout: random, size: 8, dim: 3}"
FINITE = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 20, mdp: {MDP}}}",
)


def seconds(job: BenchmarkJob) -> float:
    """The time that its cells take."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        job.run(Path(folder), torch.device("cpu"))
        return time.perf_counter() - start


def ray_overhead(cells: int, episodes: int, steps: int, threads: int) -> None:
    """Print the time of so many cells here and on Ray, and what Ray adds to each."""
    import ray

    def job(runner: str) -> BenchmarkJob:
        overrides = (f"environment.episode_steps={steps}", "oracle_episodes=0")
        return BenchmarkJob(
            ["opti_bfm"], ["walk"], seeds=cells, episodes=episodes, overrides=overrides, batch_size=1, threads=threads,
            runner=runner, workers=threads,
        )  # fmt: skip

    here = seconds(job("in_process"))
    whole = seconds(job("ray"))
    ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False)
    warm = seconds(job("ray"))
    ray.shutdown()
    print(f"{cells} cells, {here / cells:,.1f} s each in this process")
    for name, time_on_ray in (("Ray, its start and its worker's included", whole), ("Ray, started before", warm)):
        print(f"{name}: {time_on_ray:,.1f} s, {100 * (time_on_ray / here - 1):+.1f} % (wanted: under 5)")


def speed(seeds: int, episodes: int, steps: int, threads: int) -> None:
    """Print both times, a recipe each and all together, and their ratio."""
    shared = [f"seeds={seeds}", f"episodes={episodes}", f"threads={threads}", "runner=in_process"]
    quick = load_recipe("benchmark_quick", shared)
    settings = {key: value for key, value in quick.tree.items() if key not in ("type", "recipes")}
    settings["overrides"] = (f"environment.episode_steps={steps}",)
    times = []
    for batch_size in (64, 1):
        times.append(seconds(BenchmarkJob(quick.tree["recipes"], **settings, batch_size=batch_size)))
        print(f"batch_size {batch_size:>2}: {times[-1]:,.1f} s")
    print(f"batched cells are {times[1] / times[0]:.2f} times as fast as one after another (wanted: 1.5)")


def memory(cells: int) -> None:
    """Print the memory in use after every tenth of so many cells, in groups of ten."""
    job = BenchmarkJob(["opti_bfm_ts"], ["random_0"], seeds=cells, episodes=1, batch_size=10, overrides=FINITE)
    inner = job.runner
    every = max(1, len(job.groups) // 20)

    def counting(*arguments: Any) -> Iterator[Any]:
        seen: set[str] = set()
        for group, news in inner(*arguments):
            yield group, news
            if group.key not in seen:
                seen.add(group.key)
                if len(seen) % every == 0:
                    print(f"{len(seen) * 10:>5} cells and yardsticks: {resident():,.1f} MB")

    job.runner = counting
    seconds(job)


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--cells", type=int, help="of --memory (1000) and --ray (5)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.cells or 1000)
    elif arguments.ray:
        ray_overhead(arguments.cells or 5, arguments.episodes, arguments.steps, arguments.threads)
    else:
        speed(arguments.seeds, arguments.episodes, arguments.steps, arguments.threads)


if __name__ == "__main__":
    main()
