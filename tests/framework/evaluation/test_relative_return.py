from __future__ import annotations

import numpy as np
import pytest

from bfmkit.evaluation.relative_return import (
    overall_summary,
    relative_return,
    relative_return_interval,
    second_half,
    task_summary,
)


def test_relative_return_is_of_the_second_half() -> None:
    returns = np.array([[0.0, 0.0, 30.0, 50.0]])
    oracle = np.array([[7.0, 7.0, 60.0, 100.0]])
    summary = task_summary(returns, oracle)
    assert summary["relative_return"] == pytest.approx(0.5)
    assert summary["oracle_return"] == pytest.approx(43.5)
    assert summary["return_per_episode"] == [0.0, 0.0, 30.0, 50.0]
    assert summary["relative_return_interval"] is None


@pytest.mark.parametrize(("episodes", "kept"), [(1, [0]), (2, [1]), (3, [1, 2]), (10, [5, 6, 7, 8, 9])])
def test_second_half(episodes: int, kept: list[int]) -> None:
    assert second_half(np.arange(episodes)[None]).tolist() == [kept]


def test_interval_covers_the_value_and_is_always_the_same() -> None:
    random = np.random.default_rng(1)
    returns, oracle = 80 + 10 * random.standard_normal((10, 6)), 100 + random.standard_normal((10, 6))
    low, high = relative_return_interval([returns], [oracle])
    assert low < relative_return([returns], [oracle]) < high
    assert high - low < 0.2
    assert relative_return_interval([returns], [oracle]) == [low, high]
    same = np.full((5, 4), 3.0)
    assert relative_return_interval([same], [2 * same]) == [0.5, 0.5]


def test_tasks_count_alike_in_the_whole() -> None:
    tasks = {"a": (np.full((2, 2), 1.0), np.full((2, 2), 10.0)), "b": (np.full((2, 2), 900.0), np.full((2, 2), 1000.0))}
    assert overall_summary(tasks)["relative_return"] == pytest.approx(0.5)
    assert overall_summary(tasks)["relative_return_interval"] == pytest.approx([0.5, 0.5])


def test_nothing_to_compare_with_is_none() -> None:
    returns = np.ones((3, 4))
    assert task_summary(returns, None)["relative_return"] is None
    assert task_summary(returns, np.zeros((3, 4)))["relative_return"] is None
    assert task_summary(returns[:0], returns[:0])["return_per_episode"] == []
    assert overall_summary({"a": (returns, None)})["relative_return"] is None
