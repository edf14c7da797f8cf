from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from bfmkit.components.agents.random import RandomAgent
from bfmkit.interfaces import StepResult
from bfmkit.jobs.infer import InferJob
from bfmkit.runs.run_directory import read_metrics
from bfmkit.runs.trace import TRACE, read_trace
from bfmkit.testing.models import BallEnvironment

CPU = torch.device("cpu")
TracedJob = Callable[..., InferJob]


class Interrupted(BallEnvironment):
    """Fails once, after a number of steps counted over all copies."""

    left = 10**9

    def with_tasks(self, tasks: list) -> Interrupted:
        return Interrupted(tasks=tasks)

    def step_batch(self, action: torch.Tensor) -> StepResult:
        Interrupted.left -= 1
        if Interrupted.left == 0:
            raise KeyboardInterrupt
        return super().step_batch(action)


def test_tracing_changes_no_number(traced_job: TracedJob, traced: Path, tmp_path: Path) -> None:
    traced_job(trace_every=None).run(tmp_path, CPU)
    assert read_metrics(tmp_path) == read_metrics(traced)
    assert not (tmp_path / TRACE).exists()
    assert read_trace(tmp_path).is_empty()


@pytest.mark.parametrize("after", [30, 95, 170])
def test_an_interrupted_run_leaves_the_trace_of_an_uninterrupted_one(
    traced_job: TracedJob, traced: Path, tmp_path: Path, after: int
) -> None:
    Interrupted.left = after
    with pytest.raises(KeyboardInterrupt):
        traced_job(Interrupted()).run(tmp_path, CPU)
    traced_job(Interrupted()).run(tmp_path, CPU)
    assert read_trace(tmp_path).equals(read_trace(traced))
    assert read_trace(tmp_path, is_oracle=True).equals(read_trace(traced, is_oracle=True))


def test_without_an_oracle_there_is_no_cosine(traced_job: TracedJob, tmp_path: Path) -> None:
    traced_job(oracle_episodes=0, episodes=1).run(tmp_path, CPU)
    assert {"width", "believed_reward"} <= set(read_trace(tmp_path).columns)
    assert "cosine" not in read_trace(tmp_path).columns


def test_an_agent_without_a_belief_is_traced_as_far_as_it_goes(traced_job: TracedJob, tmp_path: Path) -> None:
    traced_job(agent=RandomAgent(), episodes=1).run(tmp_path, CPU)
    table = read_trace(tmp_path)
    assert {"return", "reward", "labels"} <= set(table.columns)
    assert not {"log_determinant", "believed_reward", "cosine"} & set(table.columns)


def test_rows_whose_episode_is_over_are_left_out(traced_job: TracedJob, tmp_path: Path) -> None:
    class Short(BallEnvironment):
        def with_tasks(self, tasks: list) -> BallEnvironment:
            return BallEnvironment(tasks=tasks, lengths=[6, 21][: len(tasks)])

    traced_job(Short(), seeds=2, tasks="task_0", episodes=1).run(tmp_path, CPU)
    table = read_trace(tmp_path)
    assert table.filter(pl.col("seed") == 0)["step"].to_list() == [1, 5]
    assert table.filter(pl.col("seed") == 1)["step"].to_list() == [1, 5, 7, 14, 20]


def test_an_interval_must_be_positive(traced_job: TracedJob) -> None:
    with pytest.raises(ValueError, match="trace_every"):
        traced_job(trace_every=0)
