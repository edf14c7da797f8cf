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
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.evaluation.cells import CELLS, ORACLES, Cell
from bfmkit.interfaces import Agent
from bfmkit.jobs.infer import InferJob
from bfmkit.recipe.yaml_text import write
from bfmkit.runs.run_directory import PROVENANCE, RECIPE, SUMMARY
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.utils.files import to_json

Write = Callable[..., Path]


def leave(out: Path, name: str, agent: Agent, recipe: dict[str, Any], **settings: Any) -> Path:
    """Run a job and write what the command line would write beside it."""
    out.mkdir(parents=True)
    defaults = {"episodes": 3, "seeds": 2, "tasks": ["task_0", "task_2"]}
    InferJob(LinearBFM(), BallEnvironment(), agent, **{**defaults, **settings}).run(out, torch.device("cpu"))
    (out / RECIPE).write_text(write({"type": "infer", **recipe}))
    facts = {
        "time": "2026-01-02T03:04:05+00:00", "command": f"bfmkit run {name} --out {out.name}", "recipe": f"{name}.yaml",
        "device": "cpu", "threads": 1, "processor": "a Processor",
        "git": {"revision": "0123456789abcdef", "changed": True},
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


@pytest.fixture(scope="session")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two recipes, two tasks and two seeds; a oracle's cell failed, and one before any episode."""
    out = tmp_path_factory.mktemp("runs") / "contest"
    tree = {"type": "benchmark", "recipes": ["first", "second"], "episodes": 2, "overrides": ["bfm.discount=0.5"]}
    (out / "recipes").mkdir(parents=True)
    (out / RECIPE).write_text(write(tree))
    (out / SUMMARY).write_text(to_json({"seeds": [7, 8], "batch_size": 64, "threads": 1}))
    long = "RuntimeError: " + "mat1 and mat2 shapes cannot be multiplied " * 3 + "(ridge.py:120)"
    for name in ("first", "second"):
        agent = {"type": "random"} if name == "first" else {"type": "task_inference", "update_every": 25}
        played = {"type": "infer", "agent": agent, "episodes": 2, "tasks": ["up", "down"], "seeds": [7, 8]}
        (out / "recipes" / f"{name}.yaml").write_text(write(played))
        for task, seed in (("up", 7), ("up", 8), ("down", 7), ("down", 8)):
            episodes = [{"return": float(number + seed), "steps": 9, "labels": 9} for number in range(2)]
            Cell(name, task, seed, episodes=episodes, oracle="oracle").write(out / CELLS)
            Cell("oracle", task, seed, episodes=episodes).write(out / ORACLES)
    Cell("second", "down", 8, "failed", long, oracle="oracle").write(out / CELLS)
    Cell("oracle", "down", 8, "failed", "episode 1: the reward is not finite", episodes[:1]).write(out / ORACLES)
    return out
