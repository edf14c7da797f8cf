from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bfmkit.regret import report
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.report import Curves, draw_regret, summarise

GRID = np.array([1, 10, 100, 1000])
BURN_IN = 100


def curves(regret: list[list[float]], bound: RegretBound | None = None) -> Curves:
    count = len(regret)
    return Curves(np.array(regret), bound, np.full(count, np.nan), np.ones(count, bool), np.ones(count))


def drawn(path: Path, monkeypatch: pytest.MonkeyPatch, rules: dict[str, Curves]) -> Figure:
    kept: list[Figure] = []
    monkeypatch.setattr(report, "save_figure", lambda figure, *_: kept.append(figure))
    draw_regret(path, {2: rules}, GRID, BURN_IN)
    return kept[0]


def test_a_panel_is_as_high_as_what_is_there_after_the_burn_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One run loses next to nothing at first, and its band reaches down there.
    bound = RegretBound(2, 1, 1.0, 10.0, 0.1, 0.05)
    rules = {
        "ucb": curves([[1e-8, 1e-8, 8.0, 10.0], [2.0, 5.0, 12.0, 30.0]], bound),
        "random": curves([[2.0, 20.0, 200.0, 2000.0]]),
    }
    (axis,) = drawn(tmp_path / "x.png", monkeypatch, rules).axes
    low, high = axis.get_ylim()
    assert 0.1 < low < 10 and high == pytest.approx(1.5 * max(2000.0, bound.regret(GRID)[-1]))


def test_from_when_on_a_bound_says_something_is_counted_in_single_episodes() -> None:
    bound = RegretBound(2, 1, 1.0, 10.0, 0.1, 0.05)
    found = summarise({2: {"ucb": curves([[1.0, 2.0, 3.0, 4.0]], bound)}}, GRID, BURN_IN, {2: 2.0})
    numbers = found["dims"]["2"]["rules"]["ucb"]
    first = numbers["bound_says_something_from"]
    assert bound.regret(np.array(first)) < 2.0 * first and bound.regret(np.array(first - 1)) >= 2.0 * (first - 1)
    assert first not in GRID and numbers["regrets"] == [4.0]


def test_nothing_lost_is_drawn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(tmp_path / "x.png", monkeypatch, {"greedy": curves([[0.0, 0.0, 0.0, 0.0]])}).axes


def test_an_exponent_of_nothing_has_no_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"greedy": curves([[1.0, 2.0, 3.0, 2.9999], [1.0, 2.0, 3.0, 2.9999]])}
    (axis,) = drawn(tmp_path / "x.png", monkeypatch, rules).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["0.00"]
