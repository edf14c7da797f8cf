"""What batching the cells of a benchmark gains, what Ray costs, and whether memory stays flat over many cells.

    python tests/benchmarks/batched_cells.py                                   3 minutes on two idle cores
    RAY_worker_niceness=0 python tests/benchmarks/batched_cells.py --ray       7 minutes
    python tests/benchmarks/batched_cells.py --memory                          1 minute

The first runs the cells of ``benchmark_quick`` (4 tasks x 10 seeds) in one process, once batched as the job does it and
once one after another, which is the same with ``batch_size=1``. Nothing that is imported or built before the first cell
is counted. Short episodes make what a group takes to set up weigh more than in earnest, so a second ratio is of the
time after each group's first episode alone; the verdict goes by the smaller of the two.

The second runs cells of about a minute by turns in this process, with no Ray anywhere, and by a single worker of a Ray
that has been started: what Ray adds to a cell. What its start and its worker's take is said beside it. Ray makes its
workers give way to everybody else, which ``RAY_worker_niceness=0`` undoes: on a busy machine they would be slower for
that alone. A cell has one thread, as a benchmark's cells do; with ``--threads`` as many as there are cores, none is
left for Ray's own processes, which wake up some three hundred times a second, and each time all threads of a cell wait
for the one that gave way.

The third runs short cells of a finite problem in groups of ten, and compares the memory in use after the first tenth of
them with that after the last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measured import add_json, write_measured

from bfmkit.evaluation.benchmark.group import GroupEvent
from bfmkit.jobs.benchmark import BenchmarkJob
from bfmkit.recipe import load_recipe

MDP = "{layout: random, size: 8, dim: 3}"
FINITE = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 20, mdp: {MDP}}}",
)
LEAST_SPEED, MOST_OVERHEAD, MOST_GROWTH = 1.5, 0.05, 0.02
WALK = ["opti_bfm"], ["walk"]


@dataclass
class Watch:
    """Stands between a job and its runner, and looks at the clock when something is heard of a group."""

    job: BenchmarkJob
    began: dict[str, float] = field(default_factory=dict)  # group -> when its first episode was over
    ended: dict[str, float] = field(default_factory=dict)
    resident: list[float] = field(default_factory=list)  # megabytes, when each group's first episode was over

    def __post_init__(self) -> None:
        self._inner, self.job.runner = self.job.runner, self

    def __call__(self, *arguments: Any) -> Iterator[Any]:
        for group, news in self._inner(*arguments):
            if isinstance(news, GroupEvent):
                now = time.perf_counter()
                if group.key not in self.began:
                    self.began[group.key] = now
                    self.resident.append(resident())
                self.ended[group.key] = now
            yield group, news

    def run(self) -> float:
        """Run the job; gives the seconds that it takes."""
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            self.job.run(Path(folder), torch.device("cpu"))
            return time.perf_counter() - start

    def later_episodes(self) -> float:
        """Seconds in all groups after their first episodes."""
        return sum(self.ended[key] - self.began[key] for key in self.began)


def speed(seeds: int, episodes: int, steps: int, threads: int) -> tuple[bool, dict[str, float]]:
    """Batched and one after another: whether that is fast enough, and the numbers."""
    shared = [f"seeds={seeds}", f"episodes={max(2, episodes)}", f"threads={threads}", "runner=in_process"]
    quick = load_recipe("benchmark_quick", shared)
    settings = {key: value for key, value in quick.tree.items() if key not in ("type", "recipes")}
    settings["overrides"] = (f"environment.episode_steps={steps}",)
    seconds: dict[int, tuple[float, float]] = {}
    for batch_size in (64, 1):
        # What is set up once in a process is none of either's business.
        Watch(
            BenchmarkJob(["opti_bfm"], ["walk"], seeds=1, episodes=1, overrides=("environment.episode_steps=2",))
        ).run()
        watch = Watch(BenchmarkJob(quick.tree["recipes"], **settings, batch_size=batch_size))
        seconds[batch_size] = (watch.run(), watch.later_episodes())
        print(f"batch_size {batch_size}: {seconds[batch_size][0]:,.1f} s", flush=True)
    whole, later = (seconds[1][part] / seconds[64][part] for part in (0, 1))
    print(f"as fast as one after another: {whole:.2f} times; after each group's first episode {later:.2f} times")
    fine = min(whole, later) >= LEAST_SPEED
    print(f"batched cells are at least {LEAST_SPEED} times as fast: {'yes' if fine else 'NO'}")
    return fine, {
        "batched_s": seconds[64][0],
        "one_after_another_s": seconds[1][0],
        "batching_speedup": whole,
        "batching_speedup_steps": later,
    }


def ray_overhead(cells: int, episodes: int, steps: int, threads: int) -> tuple[bool, dict[str, float]]:
    """The same cells here and on Ray: whether Ray adds little enough, and the numbers."""
    import ray

    def job(runner: str, cells: int, episodes: int, steps: int) -> Watch:
        overrides = (f"environment.episode_steps={steps}", "oracle_episodes=0")
        made = BenchmarkJob(
            *WALK, seeds=cells, episodes=episodes, overrides=overrides, batch_size=1, threads=threads, runner=runner,
            workers=threads,
        )  # fmt: skip
        return Watch(made)

    seconds: dict[str, list[float]] = {"here": [], "there": [], "start": []}
    job("in_process", 1, 1, 2).run()
    # By turns, for the machine's own pace changes within minutes by as much as Ray costs.
    for _ in range(cells):
        seconds["here"].append(job("in_process", 1, episodes, steps).run())
        start = time.perf_counter()
        ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False)
        job("ray", 1, 1, 2).run()
        seconds["start"].append(time.perf_counter() - start)
        seconds["there"].append(job("ray", 1, episodes, steps).run())
        ray.shutdown()
        print(f"{seconds['here'][-1]:,.1f} s in this process, {seconds['there'][-1]:,.1f} s on Ray", flush=True)
    here, there, started = (statistics.fmean(seconds[what]) for what in ("here", "there", "start"))
    overhead = there / here - 1
    print(
        f"{there:,.1f} s each on Ray, {100 * overhead:+.1f} %; once, for its start and its worker's, {started:,.1f} s"
    )
    fine = overhead < MOST_OVERHEAD
    print(f"Ray adds less than {100 * MOST_OVERHEAD:.0f} % to a cell of {here:,.0f} s: {'yes' if fine else 'NO'}")
    return fine, {
        "ray_cell_s": there, "in_process_cell_s": here, "ray_overhead_percent": 100 * overhead, "ray_start_s": started,
    }  # fmt: skip


def memory(cells: int) -> tuple[bool, dict[str, float]]:
    """Whether memory stays flat over so many cells, and as many of their oracle's; and the numbers."""
    watch = Watch(BenchmarkJob(["opti_bfm_ts"], ["random_0"], seeds=cells, episodes=1, batch_size=10, overrides=FINITE))
    watch.run()
    # The oracle's groups come first; the recipe's are its last half.
    seen = watch.resident[len(watch.resident) // 2 :]
    tenth = max(1, len(seen) // 10)
    for number in range(tenth - 1, len(seen), tenth):
        print(f"{(number + 1) * 10:>6,} cells: {seen[number]:,.1f} MB")
    growth = seen[-1] - seen[tenth - 1]
    fine = growth <= MOST_GROWTH * seen[tenth - 1]
    print(
        f"memory stays flat over {cells:,} cells ({growth:+.1f} MB from the first tenth on): {'yes' if fine else 'NO'}"
    )
    return fine, {"memory_first_tenth_mb": seen[tenth - 1], "memory_last_mb": seen[-1]}


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--memory", action="store_true")
    which.add_argument("--ray", action="store_true")
    parser.add_argument("--cells", type=int, help="of --memory (1000) and --ray (3)")
    parser.add_argument("--seeds", type=int, default=10, help="without --memory and --ray")
    parser.add_argument("--episodes", type=int, help="2; of --ray 65: about a minute")
    parser.add_argument("--steps", type=int, help="of an episode: 300; of --ray 1000")
    parser.add_argument("--threads", type=int, help="of a cell: 2; of --ray 1")
    add_json(parser)
    given = parser.parse_args()
    if given.memory:
        fine, numbers = memory(given.cells or 1000)
    elif given.ray:
        fine, numbers = ray_overhead(given.cells or 3, given.episodes or 65, given.steps or 1000, given.threads or 1)
    else:
        fine, numbers = speed(given.seeds, given.episodes or 2, given.steps or 300, given.threads or 2)
    write_measured(given.json, numbers)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
