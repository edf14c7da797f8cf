"""Episodes of the policy of a record's weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bfmkit.evaluation.diagnostics.rollouts import Rollouts, rollout
from bfmkit.inference.experiment import fitted_environment
from bfmkit.interfaces import BFM, Environment
from bfmkit.live.film import Footage
from bfmkit.recipe import build_node
from bfmkit.runs.record import Record, RecordError
from bfmkit.runs.replay import require_same_model


@dataclass(frozen=True)
class Playback:
    """Episodes of π_z, with z that of a record's mean weights."""

    environment: Environment  # a row an episode
    rollouts: Rollouts
    task: str | None  # that the record names; None where a person gave the rewards

    @property
    def returns(self) -> list[float] | None:
        """Return of each episode; None without a task."""
        return None if self.task is None else self.rollouts.reward.sum(0).tolist()

    @property
    def footage(self) -> Footage:
        """All episodes, side by side."""
        lengths = self.rollouts.running.sum(0).tolist()
        physics = tuple(self.rollouts.physics[:length, row].numpy() for row, length in enumerate(lengths))
        names = tuple(f"episode {row + 1}" for row in range(len(lengths)))
        return Footage(self.environment, names, physics, self.environment.spec.control_timestep)


def play(record: Record, episodes: int = 1, seed: int = 0) -> Playback:
    """Episodes of the policy for a record's mean weights, without learning.

    Args:
        record: as :meth:`~bfmkit.runs.record.Record.load` reads it.
        episodes: how many, from different starts.
        seed: of the first episode's start; the next has the next seed.

    Raises:
        RecordError: if the record does not say which model and environment it was made with, or the model has changed.
        ValueError: if there is no episode to play.

    Example:
        ``play(Record.load(Path("runs/walk/records/walk-seed-0.safetensors"))).returns``
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    for part in ("bfm", "environment"):
        if part not in record.facts:
            raise RecordError(f"the record does not say with which {part} it was made, so it cannot be played")
    bfm: BFM = build_node(BFM, record.facts["bfm"], source="record")
    require_same_model(record, bfm)
    made: Environment = build_node(Environment, record.facts["environment"], source="record")
    task = record.facts.get("task")
    if task is not None and not made.spec.has_task(task):
        task = None  # a name that people gave it, and no reward
    environment = fitted_environment(made, bfm).with_tasks([task or made.tasks[0]] * episodes)
    environment.seed(range(seed, seed + episodes))
    with torch.no_grad():
        z = bfm.policy_latent(record.weights.float()).expand(episodes, -1)
    return Playback(environment, rollout(bfm, environment, z), task)
