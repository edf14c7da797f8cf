from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bfmkit.regret import report
from bfmkit.regret.report import Curves, draw_regret

GRID = np.array([1, 10, 100, 1000])
BURN_IN = 100


def curves(regret: list[list[float]], bound: list[float] | None = None) -> Curves:
    count = len(regret)
    shares = np.full(count, np.nan)
    return Curves(
        np.array(regret), None if bound is None else np.array(bound), shares, np.ones(count, bool), np.ones(count)
    )


def drawn(path: Path, monkeypatch: pytest.MonkeyPatch, rules: dict[str, Curves]) -> Figure:
    kept: list[Figure] = []
    monkeypatch.setattr(report, "save_figure", lambda figure, *_: kept.append(figure))
    draw_regret(path, {2: rules}, GRID, BURN_IN)
    return kept[0]


def test_a_panel_is_as_high_as_what_is_there_after_the_burn_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One run loses next to nothing at first, and its band reaches down there.
    rules = {
        "ucb": curves([[1e-8, 1e-8, 8.0, 10.0], [2.0, 5.0, 12.0, 30.0]], [50.0, 100.0, 500.0, 1000.0]),
        "random": curves([[2.0, 20.0, 200.0, 2000.0]]),
    }
    (axis,) = drawn(tmp_path / "x.png", monkeypatch, rules).axes
    low, high = axis.get_ylim()
    assert 0.1 < low < 10 and 2000 < high < 4000


def test_nothing_lost_is_drawn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(tmp_path / "x.png", monkeypatch, {"greedy": curves([[0.0, 0.0, 0.0, 0.0]])}).axes


def test_an_exponent_of_nothing_has_no_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"greedy": curves([[1.0, 2.0, 3.0, 2.9999], [1.0, 2.0, 3.0, 2.9999]])}
    (axis,) = drawn(tmp_path / "x.png", monkeypatch, rules).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["0.00"]
