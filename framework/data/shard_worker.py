"""Worker of the job ``collect``: exploration into one shard of whole episodes, by a local process or on Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDictBase

from bfmkit.data.exploration import MOST_ABANDONED, explore
from bfmkit.data.shards import ShardWriter, empty_transitions
from bfmkit.interfaces import Environment, EnvironmentSpec, Explorer
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import discovery
from bfmkit.utils.processes import Tell

SAVE_EVERY_BLOCKS = 5


@dataclass(frozen=True)
class ShardPlan:
    """Work of one worker: environment, explorer, shard and size."""

    folder: Path
    name: str
    spec: EnvironmentSpec
    environment: Deferred[Environment]
    explorer: Deferred[Explorer]
    environments: int
    transitions: int
    seed: int


@dataclass(frozen=True)
class ShardProgress:
    """State of a partly written shard."""

    blocks: int  # of episodes that are written
    ended: list[int]  # of each environment, how many episodes it has ended
    explorer: dict[str, Any] | None  # its state, some blocks old; None: it has not been saved yet
    transitions: TensorDictBase | None  # what is written, for the explorer to remember; None without its state

    def in_memory(self) -> ShardProgress:
        """Copy without a file behind it, for workers on other machines."""
        return replace(self, transitions=None if self.transitions is None else self.transitions.clone())


@dataclass(frozen=True)
class ExploredBlock:
    """Transitions of one block of episodes, one episode after the other."""

    transitions: TensorDictBase  # batch (rows * steps,)
    explorer: dict[str, Any] | None  # its state after them; None between savings
    metrics: dict[str, float]  # of the explorer since the block before


class ShardKeeper:
    """Writer of one shard and of its explorer's state.

    Args:
        plan: of the shard.
    """

    def __init__(self, plan: ShardPlan) -> None:
        self._plan = plan
        self._writer = ShardWriter(plan.folder, plan.name, plan.spec, plan.transitions)
        self._memory = plan.folder / f"{plan.name}.explorer.pt"
        rows, steps = plan.environments, plan.spec.episode_steps
        self._ended = _episodes(self._writer.written(), rows, steps) if self._writer.count else [0] * rows

    def progress(self) -> ShardProgress:
        """State to continue from."""
        state = torch.load(self._memory, weights_only=True) if self._memory.exists() else None
        blocks = self._writer.count // (self._plan.environments * self._plan.spec.episode_steps)
        return ShardProgress(blocks, self._ended, state, None if state is None else self._writer.written())

    def keep(self, block: ExploredBlock) -> dict[str, Any]:
        """Write a block and return its numbers for the log."""
        self._writer.append(block.transitions)
        episodes = _episodes(block.transitions, self._plan.environments, self._plan.spec.episode_steps)
        self._ended = [before + more for before, more in zip(self._ended, episodes, strict=True)]
        if block.explorer is not None:
            temporary = self._memory.with_suffix(".tmp")
            torch.save(block.explorer, temporary)
            os.replace(temporary, self._memory)
        return self.told() | {"episodes": sum(self._ended)} | block.metrics

    def told(self) -> dict[str, Any]:
        """Name of the shard and number of transitions written."""
        return {"shard": self._plan.name, "transitions": self._writer.count}


def collect_shard(plan: ShardPlan, tell: Tell) -> None:
    """Fill the shard with explored episodes in this process, reporting progress after every block."""
    keeper = ShardKeeper(plan)
    tell(keeper.told())
    for block in explored_blocks(plan, keeper.progress()):
        tell(keeper.keep(block))


def explore_remotely(work: tuple[ShardPlan, ShardProgress, Path]) -> Iterator[ExploredBlock]:
    """Blocks of episodes for a :class:`ShardKeeper` in another process, possibly on another machine."""
    plan, progress, project = work
    discovery.add_project(project)
    torch.set_num_threads(1)
    yield from explored_blocks(plan, progress)


def explored_blocks(plan: ShardPlan, progress: ShardProgress) -> Iterator[ExploredBlock]:
    """Missing episodes of a shard, block by block.

    Raises:
        FloatingPointError: if block after block holds numbers that are not finite.
    """
    rows, spec = plan.environments, plan.spec
    prototype = plan.environment.build()
    environment = prototype.with_tasks([prototype.tasks[0]] * rows)
    block = rows * spec.episode_steps
    # Each block draws from a generator of its own, so that going on does not repeat what was drawn before.
    torch.manual_seed(plan.seed * 1_000_003 + progress.blocks)
    explorer = plan.explorer.build(spec)
    if progress.explorer is not None and progress.transitions is not None:
        explorer.load_state_dict(progress.explorer)
        explorer.remember(progress.transitions)
    environment.seed([plan.seed * 10_007 + row for row in range(rows)], progress.ended)
    episodes = empty_transitions(spec, block).reshape(rows, spec.episode_steps)
    wanted = plan.transitions // block
    for number in range(progress.blocks + 1, wanted + 1):
        _explore_block(environment, explorer, episodes)
        saves = number % SAVE_EVERY_BLOCKS == 0 or number == wanted
        # Stored one episode after the other, so that a trajectory is a slice.
        yield ExploredBlock(episodes.reshape(-1), explorer.state_dict() if saves else None, explorer.metrics())


def _explore_block(environment: Environment, explorer: Explorer, episodes: TensorDictBase) -> None:
    for _ in range(MOST_ABANDONED):
        if explore(environment, explorer, episodes):
            return
    raise FloatingPointError(f"{MOST_ABANDONED} blocks of episodes in a row held numbers that are not finite")


def _episodes(transitions: TensorDictBase, rows: int, steps: int) -> list[int]:  # blocks of (rows, steps)
    """Number of episodes that each row has ended."""
    over = transitions["next", "terminated"] | transitions["next", "truncated"]
    return over.reshape(-1, rows, steps).sum((0, 2)).tolist()
