from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import Agent
from bfmkit.jobs.infer import InferJob
from bfmkit.testing.models import BallEnvironment, LinearBFM


@pytest.fixture(scope="session")
def traced_job() -> Callable[..., InferJob]:
    """Makes a job that is traced every 7 steps: tasks 0 and 2, two seeds, three episodes of 20 steps."""

    def make(environment: BallEnvironment | None = None, agent: Agent | None = None, **settings: object) -> InferJob:
        finder = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
        defaults = {"episodes": 3, "seeds": 2, "tasks": ["task_0", "task_2"], "batch_size": 3, "trace_every": 7}
        return InferJob(LinearBFM(), environment or BallEnvironment(), agent or finder, **{**defaults, **settings})

    return make


@pytest.fixture(scope="session")
def traced(traced_job: Callable[..., InferJob], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directory of such a job; only to be read."""
    out = tmp_path_factory.mktemp("run")
    traced_job().run(out, torch.device("cpu"))
    return out
