"""Job ``collect``: reward-free transitions by exploration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from tensordict import TensorDictBase

from bfmkit.data.shard_worker import ShardKeeper, ShardPlan, collect_shard, explore_remotely
from bfmkit.data.shards import claim, read_shard, shard_names
from bfmkit.interfaces import Environment, Explorer, Job, JobError
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import register
from bfmkit.report.plots.coverage import draw_coverage
from bfmkit.runs.run_directory import append_metrics
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.processes import Ended, in_processes
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.ray_tasks import in_ray, require_ray

DRAWN = 20_000
"""Transitions of a shard that the picture of their coverage is made of."""
TRIES = 2
"""How often a shard is started whose worker dies; it goes on after what is written."""


@register(Job, "collect")
class CollectJob(Job):
    """Exploration data from several workers, each with its own explorer and batch of environments.

    Every worker fills a shard of its own with whole episodes, so nothing is shared and a killed run goes on with
    everything that was written. Workers are processes of this machine, or tasks of Ray, on a cluster perhaps; those
    send their episodes here, so that no disk is shared. The transitions are the same. At the end
    ``figures/coverage.png`` shows which values of the physics quantities were visited.

    Args:
        environment: where to explore; its rewards are not looked at.
        explorer: how.
        transitions: how many to gather in all; rounded up to whole episodes of every environment.
        workers: shards that are filled at once.
        environments: environments a worker steps together.
        seed: of the first worker; the others count on from it.
        runner: ``processes`` of this machine, or ``ray``.
        address: of a Ray cluster; none given: Ray is started on this machine.

    Raises:
        ValueError: if a number is not positive, an address is given without Ray, or Ray is wanted and missing.
        RecipeError: for what the constructors of environment and explorer refuse.

    Example:
        ``bfmkit run collect_walker transitions=1_000_000``
    """

    logs = False
    incidental: ClassVar[frozenset[str]] = frozenset({"runner", "address"})

    def __init__(
        self,
        environment: Deferred[Environment],
        explorer: Deferred[Explorer],
        transitions: PositiveInt,
        workers: PositiveInt = 2,
        environments: PositiveInt = 8,
        seed: int = 0,
        runner: Literal["processes", "ray"] = "processes",
        address: str | None = None,
    ) -> None:
        if runner == "ray":
            require_ray()
        elif address is not None:
            raise ValueError(f"address is of a Ray cluster, and the runner is {runner}; say runner=ray as well")
        self.runner, self.address = runner, address
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
            ShardPlan(folder, f"shard-{number:03d}", spec, self.environment, self.explorer, self.environments,
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
            for plan, message in self._messages(plans):
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

    def _messages(self, plans: list[ShardPlan]) -> Iterator[tuple[ShardPlan, Any]]:
        if self.runner == "processes":
            yield from in_processes(plans, collect_shard, self.workers, tries=TRIES)
            return
        keepers, project = {plan.name: ShardKeeper(plan) for plan in plans}, Path.cwd()
        yield from ((plan, keepers[plan.name].told()) for plan in plans)
        for plan, message in in_ray(
            plans,
            explore_remotely,
            lambda plan: (plan, keepers[plan.name].progress().in_memory(), project),
            self.address,
            self.workers,
            tries=TRIES,
        ):
            yield plan, message if isinstance(message, Ended) else keepers[plan.name].keep(message)


def _quantities(environment: Environment, shards: list[TensorDictBase], half: int) -> dict[str, np.ndarray]:
    """Physics quantities, name -> (n,), of the first or second half of each shard."""
    parts = []
    for shard in shards:
        middle = len(shard) // 2
        rows = range(middle) if half == 0 else range(middle, len(shard))
        some = shard[list(rows[:: max(1, len(shard) // DRAWN)])]
        parts.append(environment.quantities(some["next", "physics"], some["action"]))
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
