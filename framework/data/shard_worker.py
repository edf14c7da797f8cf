"""Worker process of the job ``collect``: exploration into one shard of whole episodes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from tensordict import TensorDictBase

from bfmkit.data.exploration import MOST_ABANDONED, explore
from bfmkit.data.shards import ShardWriter, empty_transitions
from bfmkit.interfaces import Environment, Explorer
from bfmkit.recipe.deferred import Deferred
from bfmkit.utils.processes import Tell

SAVE_EVERY_BLOCKS = 5


@dataclass(frozen=True)
class ShardPlan:
    """Work of one process: environment, explorer, shard and size."""

    folder: Path
    name: str
    environment: Deferred[Environment]
    explorer: Deferred[Explorer]
    environments: int
    transitions: int
    seed: int


def collect_shard(plan: ShardPlan, tell: Tell) -> None:
    """Fill the shard with explored episodes, reporting progress after every block."""
    prototype = plan.environment.build()
    environment = prototype.with_tasks([prototype.tasks[0]] * plan.environments)
    spec = environment.spec
    writer = ShardWriter(plan.folder, plan.name, spec, plan.transitions)
    block = plan.environments * spec.episode_steps
    blocks = writer.count // block
    # Each block draws from a generator of its own, so that going on does not repeat what was drawn before.
    torch.manual_seed(plan.seed * 1_000_003 + blocks)
    explorer = plan.explorer.build(spec)
    memory = plan.folder / f"{plan.name}.explorer.pt"
    if memory.exists():
        explorer.load_state_dict(torch.load(memory, weights_only=True))
        explorer.remember(writer.written())
    tell({"shard": plan.name, "transitions": writer.count})
    rows = plan.environments
    ended = _episodes(writer.written(), rows, spec.episode_steps) if writer.count else [0] * rows
    environment.seed([plan.seed * 10_007 + row for row in range(rows)], ended)
    episodes = empty_transitions(spec, block).reshape(rows, spec.episode_steps)
    abandoned = 0
    while writer.count < plan.transitions:
        if not explore(environment, explorer, episodes):
            abandoned += 1
            if abandoned == MOST_ABANDONED:
                raise FloatingPointError(f"{abandoned} blocks of episodes in a row held numbers that are not finite")
            continue
        abandoned = 0
        # Stored one episode after the other, so that a trajectory is a slice.
        writer.append(episodes.reshape(-1))
        blocks += 1
        counts = zip(ended, _episodes(episodes.reshape(-1), rows, spec.episode_steps), strict=True)
        ended = [before + more for before, more in counts]
        if blocks % SAVE_EVERY_BLOCKS == 0 or writer.count >= plan.transitions:
            temporary = memory.with_suffix(".tmp")
            torch.save(explorer.state_dict(), temporary)
            os.replace(temporary, memory)
        tell({"shard": plan.name, "transitions": writer.count, "episodes": sum(ended)} | explorer.metrics())


def _episodes(transitions: TensorDictBase, rows: int, steps: int) -> list[int]:  # blocks of (rows, steps)
    """Number of episodes that each row has ended."""
    over = transitions["next", "terminated"] | transitions["next", "truncated"]
    return over.reshape(-1, rows, steps).sum((0, 2)).tolist()
