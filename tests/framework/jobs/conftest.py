"""A small pretraining, and the processes that a job has started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.training.pretraining_options import EvaluationOptions, HardwareOptions, OptimizerOptions


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random actions of two walkers."""
    folder = tmp_path_factory.mktemp("data")
    environment = DMControlEnvironment("walker", "stand+stand", episode_steps=60)
    claim(folder, environment.spec)
    writer = ShardWriter(folder, "shard-000", environment.spec, 120)
    rows = empty_transitions(environment.spec, 120)
    torch.manual_seed(0)
    observation, _ = environment.reset_batch()
    for step in range(60):
        here = slice(2 * step, 2 * step + 2)
        action = torch.rand(2, 6) * 2 - 1
        outcome = environment.step_batch(action)
        rows["observation"][here], rows["action"][here] = observation, action
        rows["next", "observation"][here], rows["next", "physics"][here] = outcome.observation, outcome.physics
        observation = outcome.observation
    writer.append(rows)
    return folder


GROUPS = {"optimizer": OptimizerOptions, "evaluation": EvaluationOptions, "hardware": HardwareOptions}


@pytest.fixture
def objective() -> dict[str, Any]:
    """The smallest there is."""
    return {
        "type": "forward_backward",
        "bfm": {
            "type": "forward_backward",
            "dim": 4,
            "networks": {"type": "two_stream", "width": 16, "encoder_width": 16},
        },
    }


@pytest.fixture
def pretrain(data: Path, objective: dict[str, Any]) -> Callable[..., PretrainJob]:
    """Makes a job of 40 updates, other settings as given; options of groups by their own names."""

    def make(environment: DMControlEnvironment | None = None, **settings: object) -> PretrainJob:
        settings["environment"] = environment
        for name, cls in GROUPS.items():
            own = [field.name for field in fields(cls) if field.name in settings]
            settings[name] = cls(**{key: settings.pop(key) for key in own})
        return PretrainJob(
            MemoryMapDataset(data),
            defer(Objective, objective),
            **{"updates": 40, "batch_size": 16, "inference_set": 50, **settings},
        )

    return make


@pytest.fixture
def children_named() -> Callable[[bytes], list[int]]:
    """Finds the processes below this one whose command holds some bytes."""
    return lambda name: [int(each) for each in _offspring(os.getpid()) if name in _command(each)]


def _offspring(process: int | str) -> Iterator[str]:
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = tasks.read_text().split()
        except OSError:
            continue
        for child in children:
            yield child
            yield from _offspring(child)


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
