from __future__ import annotations

import numpy as np
import pytest

from bfmkit.evaluation.relative_return import TaskReturns, counted, overall_summary, second_half
from bfmkit.evaluation.statistics import Sample, mean


def same(value: float, seeds: int = 2, episodes: int = 4) -> np.ndarray:
    return np.full((seeds, episodes), value)


def test_relative_return_is_of_the_second_half() -> None:
    returns = np.array([[0.0, 0.0, 30.0, 50.0]])
    oracle = np.array([[7.0, 7.0, 60.0, 100.0]])
    floor = np.array([[99.0, 99.0, 20.0, 20.0]])
    summary = TaskReturns.of(returns, oracle, floor).summary()
    assert summary["relative_return"] == pytest.approx((40 - 20) / (80 - 20))
    assert (summary["later_return"], summary["oracle_later_return"], summary["floor_later_return"]) == (40, 80, 20)
    assert summary["oracle_return"] == pytest.approx(43.5)
    assert summary["return_per_episode"] == [0.0, 0.0, 30.0, 50.0]
    assert summary["relative_return_interval"] is None
    assert summary["no_relative_return"] is None


@pytest.mark.parametrize(
    ("agent", "oracle", "floor", "expected"),
    [
        (-948.0, -321.0, -1200.0, 252 / 879),  # worse than the oracle, better than the floor
        (-1299.0, -1516.0, -1600.0, 301 / 84),  # better than the oracle
        (-96.0, -78.0, -100.0, 4 / 22),
        (5.0, 10.0, 0.0, 0.5),
        (-3.0, 10.0, 0.0, -0.3),  # worse than the floor
        (1.0, 0.0, -1.0, 2.0),  # an oracle of zero
    ],
)
def test_it_holds_for_rewards_of_any_sign(agent: float, oracle: float, floor: float, expected: float) -> None:
    score = TaskReturns.of(same(agent), same(oracle), same(floor)).summary()["relative_return"]
    assert score == pytest.approx(expected)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, -2000.0), (0.01, 3.0), (50.0, 0.0)])
def test_it_does_not_depend_on_the_scale_or_offset_of_the_reward(scale: float, offset: float) -> None:
    random = np.random.default_rng(0)
    parts = [mean + random.standard_normal((6, 8)) for mean in (7.0, 9.0, 1.0)]
    before = TaskReturns.of(*parts).summary()
    after = TaskReturns.of(*(scale * part + offset for part in parts)).summary()
    assert after["relative_return"] == pytest.approx(before["relative_return"])
    assert after["relative_return_interval"] == pytest.approx(before["relative_return_interval"])


@pytest.mark.parametrize(("episodes", "kept"), [(1, [0]), (2, [1]), (3, [1, 2]), (10, [5, 6, 7, 8, 9])])
def test_second_half(episodes: int, kept: list[int]) -> None:
    assert second_half(np.arange(episodes)[None]).tolist() == [kept]


def test_a_reference_with_fewer_episodes_counts_with_its_last_ones() -> None:
    agent = np.array([[0.0, 0.0, 0.0, 60.0, 60.0, 60.0]])
    values = TaskReturns.of(agent, np.array([[90.0, 110.0]]), np.array([[0.0, 0.0, 8.0, 10.0, 12.0]]))
    # Of three later episodes: the oracle has two at all, the floor its last three.
    assert (values.oracle_later.tolist(), values.floor_later.tolist()) == ([100.0], [10.0])
    assert values.summary()["relative_return"] == pytest.approx(50 / 90)
    assert values.relative_by_episode[0, 3:] == pytest.approx([50 / 90] * 3)


def test_intervals_draw_learner_oracle_and_floor_of_a_seed_together() -> None:
    random = np.random.default_rng(1)
    agent, oracle, floor = (mean + 5 * random.standard_normal((8, 4)) for mean in (60.0, 100.0, 20.0))
    low, high = TaskReturns.of(agent, oracle, floor).summary()["relative_return_interval"]
    drawn = []
    for _ in range(20_000):
        rows = random.integers(8, size=8)
        a, o, f = (second_half(values)[rows].mean() for values in (agent, oracle, floor))
        drawn.append((a - f) / (o - f))
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.005)
    # What an interval of the learner alone would miss.
    certain = mean({"": Sample(np.full(8, 60.0), second_half(oracle).mean(1), second_half(floor).mean(1))})
    assert certain.high - certain.low > 0.01


def test_no_interval_where_the_oracle_may_not_be_above_the_floor() -> None:
    oracle, floor = np.array([[1.0], [9.0], [2.0]]), np.array([[3.0], [2.0], [3.0]])
    summary = TaskReturns.of(same(5.0, 3, 1), oracle, floor).summary()
    assert summary["relative_return"] == pytest.approx((5 - 8 / 3) / (12 / 3 - 8 / 3))
    assert summary["relative_return_interval"] is None


def test_tasks_count_alike_and_it_is_said_which() -> None:
    tasks = {
        "a": TaskReturns.of(same(1.0), same(10.0), same(0.0)),
        "b": TaskReturns.of(same(950.0), same(1000.0), same(900.0)),
        "c": TaskReturns.of(same(3.0), same(-1.0), same(2.0)),
        "d": TaskReturns.of(same(3.0)),
    }
    whole = overall_summary(tasks)
    assert whole["relative_return"] == pytest.approx(0.3)
    assert whole["relative_return_interval"] == pytest.approx([0.3, 0.3])
    assert whole["relative_return_tasks"] == ["a", "b"]
    assert whole["no_relative_return"] == {
        "c": "the oracle (-1) is not above the floor (2)",
        "d": "no oracle was run",
    }
    assert [counted(2, 4), counted(4, 4), counted(1, 1)] == ["2 of 4 tasks", "all 4 tasks", "all 1 task"]


def test_what_cannot_be_compared_says_why() -> None:
    nothing = TaskReturns.of(same(1.0)[:0], same(1.0)[:0], same(1.0)[:0])
    assert nothing.summary()["no_relative_return"] == "no run came through"
    assert nothing.summary()["return_per_episode"] == []
    assert TaskReturns.of(same(1.0), same(2.0)).summary()["no_relative_return"] == "no floor was run"
    equal = TaskReturns.of(same(1.0), same(0.1 + 0.2), same(0.3))
    endless = TaskReturns.of(same(1.0), same(np.inf), same(0.0))
    assert endless.summary()["no_relative_return"] == "no return of the oracle is finite"
    assert equal.summary()["relative_return"] is None and "not above" in equal.missing
    assert overall_summary({"a": equal})["relative_return"] is None


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_returns_that_are_not_finite_make_no_relative_return(broken: float) -> None:
    returns = np.array([[1.0, 2.0], [3.0, broken]])
    summary = TaskReturns.of(returns, same(5.0), same(0.0)).summary()
    assert summary["relative_return"] is None and summary["relative_return_interval"] is None
    assert summary["no_relative_return"] == "returns of 1 of 2 seeds are not finite"
    assert summary["return_per_episode"] == [2.0, 2.0]
    nothing = TaskReturns.of(returns * broken, returns, returns).summary()
    assert nothing["return_per_episode"] == [None, None] and nothing["later_return"] is None
