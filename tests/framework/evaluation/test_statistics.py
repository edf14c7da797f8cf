"""Against numbers worked out by hand, and against a bootstrap written out."""

from __future__ import annotations

import numpy as np
import pytest

from bfmkit.evaluation.statistics import (
    Estimate,
    Sample,
    at_episode,
    first_to_reach,
    interquartile_mean,
    mean,
    performance_profile,
    probability_of_improvement,
)


def scores(**tasks: list[float]) -> dict[str, Sample]:
    return {task: Sample(np.array(values, dtype=float)) for task, values in tasks.items()}


def test_the_interquartile_mean_leaves_out_a_quarter_of_all_cells_at_either_end() -> None:
    # Sorted: 0 1 2 3 4 5 6 100; the middle half is 2 3 4 5.
    assert interquartile_mean(scores(a=[100.0, 1.0, 5.0, 4.0], b=[0.0, 6.0, 3.0, 2.0])).value == 3.5
    # Of five, one is left out at either end: a quarter, rounded down.
    assert interquartile_mean(scores(a=[9.0, 1.0, 2.0, 3.0, -7.0])).value == 2.0


def test_the_mean_weighs_tasks_alike() -> None:
    assert mean(scores(a=[1.0, 1.0, 1.0, 1.0], b=[0.0, 0.5])).value == pytest.approx(0.625)


def test_intervals_come_from_drawing_seeds_within_each_task() -> None:
    given = scores(a=[0.0, 1.0, 4.0], b=[10.0, 10.0, 13.0, 15.0])
    random = np.random.default_rng(5)
    means = [
        np.mean([random.choice(each.values, size=len(each.values)).mean() for each in given.values()])
        for _ in range(20_000)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    estimate = mean(given, resamples=20_000)
    assert estimate.low == pytest.approx(low, abs=0.1)
    assert estimate.high == pytest.approx(high, abs=0.1)


def test_no_variation_is_no_width_and_drawing_tasks_would_be_noticed() -> None:
    given = scores(a=[0.0, 0.0, 0.0], b=[1.0, 1.0, 1.0])
    assert mean(given) == Estimate(0.5, 0.5, 0.5)
    assert interquartile_mean(given) == Estimate(0.5, 0.5, 0.5)


def test_the_same_scores_give_the_same_interval() -> None:
    given = scores(a=[0.0, 1.0, 4.0], b=[3.0, 9.0])
    assert mean(given) == mean(given)


def test_one_seed_has_no_interval() -> None:
    assert mean(scores(a=[1.0, 2.0], b=[4.0])) == Estimate(2.75)
    profile = performance_profile(scores(a=[1.0]), [0.5, 1.5])
    assert profile.share.tolist() == [1.0, 0.0]
    assert profile.low is None
    assert profile.high is None


def test_the_probability_of_improvement_counts_pairs_and_halves_ties() -> None:
    # Task a: 2 beats 1 and ties with 2, 0 beats nothing: 1.5 of 4. Task b: both beat both: 4 of 4.
    ours, theirs = scores(a=[2.0, 0.0], b=[5.0, 6.0]), scores(a=[1.0, 2.0], b=[3.0, 4.0])
    estimate = probability_of_improvement(ours, theirs)
    assert estimate.value == pytest.approx((1.5 / 4 + 1.0) / 2)
    assert estimate.low is not None and estimate.high is not None
    assert 0.5 <= estimate.low <= estimate.value <= estimate.high <= 1.0
    assert probability_of_improvement(theirs, ours).value == pytest.approx(1 - estimate.value)
    # Unequal numbers of seeds, and a task that only one of them has.
    assert probability_of_improvement(scores(a=[1.0, 3.0, 5.0], c=[0.0]), scores(a=[2.0, 4.0])).value == 0.5


def test_its_interval_draws_both_sides() -> None:
    ours, theirs = scores(a=[0.0, 2.0, 4.0, 6.0]), scores(a=[1.0, 1.0, 5.0])
    random, drawn = np.random.default_rng(3), []
    for _ in range(4000):
        x, y = random.choice(ours["a"].values, 4), random.choice(theirs["a"].values, 3)
        drawn.append(np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    estimate = probability_of_improvement(ours, theirs, resamples=4000)
    assert estimate.low == pytest.approx(low, abs=0.09)
    assert estimate.high == pytest.approx(high, abs=0.09)


def test_a_performance_profile_is_the_share_above() -> None:
    profile = performance_profile(scores(a=[0.2, 0.8], b=[0.5, 1.0]), [0.0, 0.5, 0.9, 1.0])
    assert profile.share.tolist() == [1.0, 0.5, 0.25, 0.0]
    assert profile.low is not None and profile.high is not None
    assert profile.low.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert profile.high.tolist() == [1.0, 1.0, 0.5, 0.0]


def test_curves() -> None:
    relative = np.array([[0.5, 0.9, 0.7], [0.1, 0.2, 0.3], [1.0, 0.0, 0.0]])
    assert first_to_reach(relative).tolist() == [2.0, np.inf, 1.0]
    assert first_to_reach(relative, share=0.3).tolist() == [1.0, 3.0, 1.0]
    labels = np.array([[10, 20, 30], [10, 20, 30], [7, 14, 21]])
    assert at_episode(labels, first_to_reach(relative)).tolist() == [20.0, np.inf, 7.0]


@pytest.mark.parametrize("given", [{}, {"a": Sample(np.array([]))}])
def test_nothing_to_say(given: dict) -> None:
    with pytest.raises(ValueError, match="no score"):
        mean(given)
    with pytest.raises(ValueError, match="no task"):
        probability_of_improvement(given, {"b": Sample(np.ones(2))})
