"""From a table of episodes, against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from bfmkit.evaluation.comparison import compare, comparison_table, curves, relative_returns
from bfmkit.evaluation.results import SCHEMA
from bfmkit.utils.files import to_json

# recipe, task, seed -> returns; the oracle gets 10, 20, 10, 20 on walk and 4 everywhere on stand, the floor 0.
RETURNS = {
    ("quick", "walk", 0): [15.0, 15.0, 15.0, 15.0],
    ("quick", "walk", 1): [3.0, 14.0, 9.0, 12.0],
    ("quick", "stand", 0): [1.0, 4.0, 4.0, 4.0],
    ("quick", "stand", 1): [0.0, 0.0, 0.0, 2.0],
    ("slow", "walk", 0): [0.0, 0.0, 6.0, 9.0],
    ("slow", "walk", 1): [0.0, 0.0, 0.0, 0.0],
    ("slow", "stand", 1): [4.0, 4.0, 4.0, 4.0],
    # It stopped in its third episode.
    ("slow", "stand", 0): [9.0, 9.0],
}


def table(oracle: dict[str, list[float | None]] | None = None, floor: float | None = 0.0) -> pl.DataFrame:
    best = {"walk": [10.0, 20.0, 10.0, 20.0], "stand": [4.0] * 4} if oracle is None else oracle
    rows = [
        (recipe, task, seed, episode, value, 50, 50 * (episode + 1), best[task][episode], floor, None)
        for (recipe, task, seed), values in RETURNS.items()
        for episode, value in enumerate(values)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_curves_are_the_seeds_that_came_through() -> None:
    found = curves(table())
    assert {name: list(tasks) for name, tasks in found.items()} == {
        "quick": ["walk", "stand"],
        "slow": ["walk", "stand"],
    }
    walk = found["quick"]["walk"]
    assert walk.seeds == (0, 1)
    assert walk.returns.tolist() == [RETURNS["quick", "walk", 0], RETURNS["quick", "walk", 1]]
    assert walk.labels[1].tolist() == [50, 100, 150, 200]
    assert walk.summary()["oracle_return"] == 15.0
    assert found["slow"]["stand"].seeds == (1,)


def test_scores_are_relative_to_the_oracle_in_the_second_half() -> None:
    found = curves(table())
    scores = relative_returns(found["quick"])
    # Second half: the oracle's mean is 15 on walk, 4 on stand.
    assert scores["walk"].scores == pytest.approx([15 / 15, 10.5 / 15])
    assert scores["stand"].scores == pytest.approx([1.0, 0.25])


def test_the_numbers_of_a_comparison() -> None:
    found = compare(table(), resamples=200)
    quick, slow = found["recipes"]["quick"], found["recipes"]["slow"]
    assert (quick["cells"], slow["cells"]) == (4, 3)
    assert quick["relative_return"]["value"] == pytest.approx((0.85 + 0.625) / 2)
    assert quick["relative_return"]["low"] <= quick["relative_return"]["value"] <= quick["relative_return"]["high"]
    # 0.25, 0.7, 1, 1: the middle half is 0.7 and 1.
    assert quick["interquartile_mean"]["value"] == pytest.approx(0.85)
    # Means of the curves over 15 and 4: 1, 38/60; 13/16, 2/16.
    assert quick["area_under_curve"]["value"] == pytest.approx(((1 + 38 / 60) / 2 + 15 / 32) / 2)
    # 90 % is 13.5 on walk and 3.6 on stand: reached in episodes 1, 2, 2, never. Labels: 50, 100, 100.
    assert quick["episodes_to_90_percent"] == {"median": 2.0, "share": 0.75}
    assert quick["labels_to_90_percent"] == {"median": 100.0, "share": 0.75}
    assert slow["episodes_to_90_percent"] == {"median": None, "share": pytest.approx(1 / 3)}
    # One seed is left on stand, so there is no interval.
    assert slow["relative_return"] == {"value": pytest.approx((0.25 + 1.0) / 2), "low": None, "high": None}
    stand = quick["tasks"]["stand"]
    assert (stand["seeds"], stand["oracle_return"], stand["return_per_episode"]) == (2, 4.0, [0.5, 2.0, 2.0, 3.0])
    assert stand["relative_return"]["value"] == pytest.approx(0.625)
    profile = quick["performance_profile"]
    assert profile["share"][0] == 1.0
    assert profile["share"][int(np.argmin(np.abs(np.array(profile["thresholds"]) - 0.5)))] == 0.75
    assert profile["share"][-1] == 0.0


def test_who_improves_on_whom() -> None:
    improvement = {
        (row["recipe"], row["over"]): row for row in compare(table(), resamples=200)["probability_of_improvement"]
    }
    # Walk: quick's 1 and 0.7 beat slow's 0.5 and 0. Stand: quick's 1 ties with slow's 1, its 0.25 loses.
    there, back = improvement["quick", "slow"], improvement["slow", "quick"]
    assert there["value"] == pytest.approx((1.0 + 0.25) / 2)
    assert back["value"] == pytest.approx(1 - there["value"])
    assert len(improvement) == 2


@pytest.mark.parametrize(
    ("oracle", "floor"),
    [
        ({"walk": [None] * 4, "stand": [None] * 4}, 0.0),
        ({"walk": [0.0] * 4, "stand": [-1.0] * 4}, 0.0),
        ({"walk": [10.0] * 4, "stand": [10.0] * 4}, None),
    ],
)
def test_without_references_only_returns_are_left(oracle: dict, floor: float | None) -> None:
    found = compare(table(oracle, floor), resamples=50)
    quick = found["recipes"]["quick"]
    assert quick["relative_return"] is quick["interquartile_mean"] is quick["performance_profile"] is None
    assert quick["labels_to_90_percent"] is None
    assert quick["tasks"]["stand"]["return_per_episode"] == [0.5, 2.0, 2.0, 3.0]
    # Which of two recipes gets more can be said on any scale.
    assert found["probability_of_improvement"][0]["value"] == pytest.approx((1.0 + 0.25) / 2)
    assert json.loads(to_json(found)) == found
    assert any("quick" in line and " - " in line for line in comparison_table(found))


def test_an_empty_table_says_nothing() -> None:
    assert compare(pl.DataFrame(schema=SCHEMA))["recipes"] == {}


def test_the_printed_table_has_a_line_a_recipe() -> None:
    lines = list(comparison_table(compare(table(), resamples=200)))
    assert lines[1].startswith("quick") and "0.74" in lines[1] and lines[1].rstrip().endswith("100")
    assert lines[1].split()[1] == "2/2"
    assert "(later episodes - floor) / (oracle - floor)" in lines[3] and len(lines) == 5


def test_a_task_that_cannot_be_scored_is_left_out_and_named() -> None:
    found = compare(table({"walk": [10.0, 20.0, 10.0, 20.0], "stand": [-4.0] * 4}), resamples=50)
    quick = found["recipes"]["quick"]
    assert quick["relative_return_tasks"] == ["walk"]
    assert quick["no_relative_return"] == {"stand": "the oracle (-4) is not above the floor (0)"}
    assert quick["relative_return"]["value"] == pytest.approx(0.85)
    lines = list(comparison_table(found))
    assert lines[1].split()[:2] == ["quick", "1/2"]
    assert lines[-1] == "stand has no relative return: the oracle (-4) is not above the floor (0)."


def test_negative_returns_are_scored_as_positive_ones_are() -> None:
    shifted = table({"walk": [-90.0, -80.0, -90.0, -80.0], "stand": [-96.0] * 4}, floor=-100.0)
    shifted = shifted.with_columns(pl.col("return") - 100.0)
    before, after = (compare(each, resamples=50)["recipes"] for each in (table(), shifted))
    for name in before:
        for key in ("relative_return", "interquartile_mean", "area_under_curve"):
            assert after[name][key] == pytest.approx(before[name][key])
        assert after[name]["episodes_to_90_percent"] == before[name]["episodes_to_90_percent"]


def test_an_oracle_with_fewer_episodes_counts_with_those_it_has() -> None:
    whole = compare(table({"walk": [10.0, 20.0, None, None], "stand": [4.0, 4.0, None, None]}), resamples=50)
    numbers = whole["recipes"][next(iter(whole["recipes"]))]["tasks"]["walk"]
    later = numbers["return_per_episode"][2:]
    assert numbers["relative_return"]["value"] == pytest.approx(sum(later) / len(later) / 15.0)
    # The numbers that a score is made of stand beside it.
    ratio = numbers["later_return"] / numbers["oracle_later_return"]
    assert numbers["relative_return"]["value"] == pytest.approx(ratio)
