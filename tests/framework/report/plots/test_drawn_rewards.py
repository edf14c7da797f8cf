from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bfmkit.report.plots.drawn_rewards import draw_rewards, explained_share


def test_a_reward_is_shown_over_what_it_depends_on(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2000, 3))
    entries = dict(zip(("a", "b", "c"), x.T, strict=True))
    rewards = np.stack([np.tanh(x[:, 1]), np.tanh(2 * x[:, 2]) + 0.3 * x[:, 0], np.ones(2000)], axis=1)
    draw_rewards(tmp_path / "drawn.png", entries, rewards)
    rows = list(csv.DictReader((tmp_path / "drawn.csv").read_text().splitlines()))
    shares = {(int(row["reward"]), row["entry"]): float(row["explained"]) for row in rows}
    assert shares[1, "b"] > 0.95 and max(shares[1, "a"], shares[1, "c"]) < 0.05
    assert shares[2, "c"] > shares[2, "a"] > shares[2, "b"]
    assert [shares[3, name] for name in "abc"] == [0, 0, 0]  # a constant depends on nothing
    assert (tmp_path / "drawn.png").stat().st_size > 10_000


def test_the_correlation_ratio_of_a_step(tmp_path: Path) -> None:
    x = np.arange(1000.0)
    assert explained_share(x, (x >= 500).astype(float)) == pytest.approx(1.0)
    # A line within bins of a twentieth: 1 - 1 / 20² is between them.
    assert explained_share(x, x) == pytest.approx(1 - 1 / 400, abs=1e-5)


def test_one_entry_is_enough(tmp_path: Path) -> None:
    draw_rewards(tmp_path / "one.png", {"a": np.arange(50.0)}, np.arange(50.0)[:, None])
    assert (tmp_path / "one.png").is_file()
