"""Run directories as jobs leave them, small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidates.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import Agent
from bfmkit.jobs.infer import InferJob
from bfmkit.recipe.text import write
from bfmkit.run_directory import PROVENANCE, RECIPE, to_json
from bfmkit.testing.models import BallEnvironment, LinearBFM

Write = Callable[..., Path]


def leave(out: Path, name: str, agent: Agent, recipe: dict[str, Any], **settings: Any) -> Path:
    """Run a job and write what the command line would write beside it."""
    out.mkdir(parents=True)
    defaults = {"episodes": 3, "seeds": 2, "tasks": ["task_0", "task_2"]}
    InferJob(LinearBFM(), BallEnvironment(), agent, **{**defaults, **settings}).run(out, torch.device("cpu"))
    (out / RECIPE).write_text(write({"type": "infer", **recipe}))
    facts = {
        "time": "2026-01-02T03:04:05+00:00", "command": f"bfmkit run {name} --out {out.name}", "recipe": f"{name}.yaml",
        "device": "cpu", "threads": 1, "git": {"revision": "0123456789abcdef", "changed": True},
        "versions": {"python": "3.11", "torch": "2.13"}, "platform": "<script>alert(1)</script>",
    }  # fmt: skip
    (out / PROVENANCE).write_text(to_json(facts))
    return out


@pytest.fixture(scope="session")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traced run of an agent that finds out."""
    out = tmp_path_factory.mktemp("runs") / "finder"
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
    recipe = {"agent": {"type": "task_inference", "posterior": {"type": "ridge"}}, "episodes": 3}
    return leave(out, "finder", agent, recipe, trace_every=5)


@pytest.fixture(scope="session")
def guesser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an agent that does not."""
    out = tmp_path_factory.mktemp("runs") / "guesser"
    return leave(out, "guesser", RandomAgent(), {"agent": {"type": "random"}, "episodes": 3})
