from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.experiment import Run
from bfmkit.interfaces import Agent, StepResult
from bfmkit.jobs.infer import InferJob
from bfmkit.runs.run_directory import read_metrics
from bfmkit.runs.trace import TRACE, load_episode, read_episodes, read_run, read_trace
from bfmkit.testing.models import BallEnvironment, LinearBFM

CPU = torch.device("cpu")


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


def job(environment: BallEnvironment | None = None, agent: Agent | None = None, **settings: object) -> InferJob:
    finder = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
    defaults = {"episodes": 3, "seeds": 2, "tasks": ["task_0", "task_2"], "batch_size": 3, "trace_every": 7}
    return InferJob(LinearBFM(), environment or BallEnvironment(), agent or finder, **{**defaults, **settings})


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    job().run(out, CPU)
    return out


def test_a_traced_run_says_what_it_believed_on_the_way(traced: Path) -> None:
    table = read_trace(traced)
    assert table["step"].unique().sort().to_list() == [1, 5, 7, 14, 20]  # milestones, multiples, the last
    assert len(table) == 2 * 2 * 3 * 5
    one = table.filter(pl.col("task") == "task_2", pl.col("seed") == 1)
    assert (
        one["labels"].to_list()
        == one["steps"].to_list()
        == [*(1, 5, 7, 14, 20), *(21, 25, 27, 34, 40), 41, 45, 47, 54, 60]
    )
    assert (one["log_determinant"].diff().drop_nulls() > 0).all()
    assert one["width"][-1] < one["width"][0]
    assert one["cosine"][-1] > max(0.95, one["cosine"][0])
    assert one["cosine"].abs().max() <= 1 + 1e-9
    # What is believed of a reward that has just been learnt, in a world without noise, comes close to it.
    last = one.tail(3)
    np.testing.assert_allclose(last["believed_reward"], last["reward"], atol=0.1)


def test_returns_of_the_trace_are_those_of_the_run(traced: Path) -> None:
    ends = read_trace(traced).filter(pl.col("step") == 20)
    said = {(row["task"], row["seed"], row["episode"]): row["return"] for row in read_metrics(traced)}
    assert len(said) == len(ends) == 12
    for row in ends.iter_rows(named=True):
        assert row["return"] == pytest.approx(said[row["task"], row["seed"], row["episode"]])


def test_the_oracle_is_traced_without_a_belief(traced: Path) -> None:
    table = read_trace(traced, is_oracle=True)
    assert len(table) == 2 * 2 * 3 * 5
    assert "cosine" not in table.columns
    assert all(episode.is_oracle for episode in read_episodes(traced, is_oracle=True))


def test_a_run_can_be_read_alone(traced: Path) -> None:
    found = read_run(traced, Run("task_2", 1))
    assert found is not None
    assert found.arrays["mean"].shape == found.arrays["z"].shape == (15, 4)
    second = found.of_episode(1)
    assert second["step"].tolist() == [1, 5, 7, 14, 20]
    assert second["labels"].tolist() == [21, 25, 27, 34, 40]
    mine = second["physics"] @ second["mean"].T
    np.testing.assert_allclose(np.diag(mine), second["believed_reward"], atol=1e-5)
    assert read_run(traced, Run("task_1", 0)) is None


def test_tracing_changes_no_number(traced: Path, tmp_path: Path) -> None:
    job(trace_every=None).run(tmp_path, CPU)
    assert read_metrics(tmp_path) == read_metrics(traced)
    assert not (tmp_path / TRACE).exists()
    assert read_trace(tmp_path).is_empty()


@pytest.mark.parametrize("after", [30, 95, 170])
def test_an_interrupted_run_leaves_the_trace_of_an_uninterrupted_one(traced: Path, tmp_path: Path, after: int) -> None:
    Interrupted.left = after
    with pytest.raises(KeyboardInterrupt):
        job(Interrupted()).run(tmp_path, CPU)
    job(Interrupted()).run(tmp_path, CPU)
    assert read_trace(tmp_path).equals(read_trace(traced))
    assert read_trace(tmp_path, is_oracle=True).equals(read_trace(traced, is_oracle=True))


def test_without_an_oracle_there_is_no_cosine(tmp_path: Path) -> None:
    job(oracle_episodes=0, episodes=1).run(tmp_path, CPU)
    assert {"width", "believed_reward"} <= set(read_trace(tmp_path).columns)
    assert "cosine" not in read_trace(tmp_path).columns


def test_an_agent_without_a_belief_is_traced_as_far_as_it_goes(tmp_path: Path) -> None:
    job(agent=RandomAgent(), episodes=1).run(tmp_path, CPU)
    table = read_trace(tmp_path)
    assert {"return", "reward", "labels"} <= set(table.columns)
    assert not {"log_determinant", "believed_reward", "cosine"} & set(table.columns)


def test_rows_whose_episode_is_over_are_left_out(tmp_path: Path) -> None:
    class Short(BallEnvironment):
        def with_tasks(self, tasks: list) -> BallEnvironment:
            return BallEnvironment(tasks=tasks, lengths=[6, 21][: len(tasks)])

    job(Short(), seeds=2, tasks="task_0", episodes=1).run(tmp_path, CPU)
    table = read_trace(tmp_path)
    assert table.filter(pl.col("seed") == 0)["step"].to_list() == [1, 5]
    assert table.filter(pl.col("seed") == 1)["step"].to_list() == [1, 5, 7, 14, 20]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / TRACE).mkdir()
    (tmp_path / TRACE / "agent-00000-00000.safetensors").write_bytes(b"half of a")
    with pytest.raises(ValueError, match="agent-00000-00000"):
        read_trace(tmp_path)
    with pytest.raises(ValueError, match="nothing"):
        load_episode(tmp_path / "nothing")


def test_an_interval_must_be_positive() -> None:
    with pytest.raises(ValueError, match="trace_every"):
        job(trace_every=0)
