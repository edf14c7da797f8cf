"""Job ``collect``: reward-free transitions by exploration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

from bfmkit.data.shard_worker import ShardPlan, collect_shard
from bfmkit.data.shards import claim, read_shard, shard_names
from bfmkit.interfaces import Environment, Explorer, Job, JobError
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import register
from bfmkit.report.plots.coverage import draw_coverage
from bfmkit.runs.run_directory import append_metrics
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.processes import Ended, in_processes
from bfmkit.utils.progress_bar import ProgressBar

DRAWN = 20_000
"""Transitions of a shard that the picture of their coverage is made of."""


@register(Job, "collect")
class CollectJob(Job):
    """Exploration data from several processes, each with its own explorer and batch of environments.

    Every process writes whole episodes to a shard of its own, so nothing is shared and a killed run goes on with
    everything that was written. At the end ``figures/coverage.png`` shows which values of the physics
    quantities were visited.

    Args:
        environment: where to explore; its rewards are not looked at.
        explorer: how.
        transitions: how many to gather in all; rounded up to whole episodes of every environment.
        workers: processes.
        environments: environments a process steps together.
        seed: of the first process; the others count on from it.

    Raises:
        ValueError: if a number is not positive.
        RecipeError: for what the constructors of environment and explorer refuse.

    Example:
        ``bfmkit run collect_walker transitions=1_000_000``
    """

    logs = False

    def __init__(
        self,
        environment: Deferred[Environment],
        explorer: Deferred[Explorer],
        transitions: PositiveInt,
        workers: PositiveInt = 2,
        environments: PositiveInt = 8,
        seed: int = 0,
    ) -> None:
        # What their constructors refuse is said before anything is written.
        spec = environment.build().spec
        explorer.build(spec)
        self.environment, self.explorer, self.seed = environment, explorer, seed
        self.transitions, self.workers, self.environments = transitions, workers, environments

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Collect until every shard is full; ``out/dataset`` is the result."""
        environment = self.environment.build()
        spec, folder = environment.spec, out / "dataset"
        claim(folder, spec)
        block = self.environments * spec.episode_steps
        blocks = -(-self.transitions // (self.workers * block))
        plans = [
            ShardPlan(folder, f"shard-{number:03d}", self.environment, self.explorer, self.environments,
                      blocks * block, self.seed + number)
            for number in range(self.workers)
        ]  # fmt: skip
        self._collect(plans, out, blocks * block * self.workers)
        shards = {name: read_shard(folder, name) for name in shard_names(folder)}
        sizes = {name: len(shard) for name, shard in shards.items()}
        halves = [_quantities(environment, list(shards.values()), half) for half in (0, 1)]
        draw_coverage(out / "figures" / "coverage.png", *halves)
        return {"transitions": sum(sizes.values()), "shards": sizes, "spec": spec.to_dict()}

    def _collect(self, plans: list[ShardPlan], out: Path, total: int) -> None:
        done: dict[str, int] = {}
        with ProgressBar("collect", total, unit="transitions") as bar:
            if total > self.transitions:
                bar.say(f"{total:,} transitions: whole episodes of {self.environments * self.workers} environments")
            for plan, message in in_processes(plans, collect_shard, self.workers):
                if isinstance(message, Ended):
                    if message.error is not None:
                        raise JobError(f"{plan.name}: {message.error}")
                    continue
                if "novelty" in message or "episodes" in message:
                    append_metrics(out, message)
                gained = message["transitions"] - done.get(message["shard"], 0)
                done[message["shard"]] = message["transitions"]
                numbers = {key: value for key, value in message.items() if isinstance(value, float)}
                bar.advance(gained, **numbers)


def _quantities(environment: Environment, shards: list[TensorDictBase], half: int) -> dict[str, np.ndarray]:
    """Physics quantities, name -> (n,), of the first or second half of each shard."""
    parts = []
    for shard in shards:
        middle = len(shard) // 2
        rows = range(middle) if half == 0 else range(middle, len(shard))
        some = shard[list(rows[:: max(1, len(shard) // DRAWN)])]
        parts.append(environment.quantities(some["next", "physics"], some["action"]))
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
