from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bfmkit.inference.experiment import Run
from bfmkit.runs.run_directory import read_metrics
from bfmkit.runs.trace import TRACE, load_episode, read_episodes, read_run, read_trace


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


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / TRACE).mkdir()
    (tmp_path / TRACE / "agent-00000-00000.safetensors").write_bytes(b"half of a")
    with pytest.raises(ValueError, match="agent-00000-00000"):
        read_trace(tmp_path)
    with pytest.raises(ValueError, match="nothing"):
        load_episode(tmp_path / "nothing")
