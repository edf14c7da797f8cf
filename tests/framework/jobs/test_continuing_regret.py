from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from bfmkit.jobs.continuing_regret import ContinuingRegretJob, SeedsPerContinuingRule
from bfmkit.runs.run_directory import METRICS, read_metrics
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
LAYOUT = MDPLayout("random", size=6, actions=3, branching=2, slip=0.2)


class TestContinuingRegretJob(JobContract):
    def make(self) -> ContinuingRegretJob:
        seeds = SeedsPerContinuingRule(2, 2, 2, 2, 2, 2)
        return ContinuingRegretJob(LAYOUT, [2, 3], [0.0, 0.1], seeds, steps=200, policies=5)


def test_says_what_was_seen_of_every_rule(tmp_path: Path) -> None:
    seeds = SeedsPerContinuingRule(6, 6, 0, 0, 0, 6)
    job = ContinuingRegretJob(LAYOUT, [2], [0.0, 0.1], seeds, steps=2000, burn_in=100, policies=5)
    found = {(row["misspecification"], row["rule"]): row for row in job.run(tmp_path, CPU)["studies"]}
    assert set(found) == {(0.0, "determinant"), (0.0, "random"), (0.1, "determinant"), (0.1, "determinant_growing"),
                          (0.1, "random")}  # fmt: skip
    assert found[0.0, "random"]["exponent"] == pytest.approx(1, abs=0.05)
    assert found[0.0, "determinant"]["exponent"] < 0.6
    assert found[0.0, "determinant"]["share_under_bound"] == found[0.1, "determinant_growing"]["share_under_bound"] == 1
    assert found[0.1, "determinant"]["bound"] is None
    table = list(csv.DictReader((tmp_path / "figures" / "continuing_regret.csv").read_text().splitlines()))
    last = [row for row in table if row["rule"] == "random" and row["misspecification"] == "0.0"][-1]
    assert float(last["loss"]) == pytest.approx(found[0.0, "random"]["loss"])
    assert len(found[0.0, "random"]["losses"]) == 6


def test_goes_on_with_the_study_it_was_at(tmp_path: Path) -> None:
    job = ContinuingRegretJob(LAYOUT, [2], None, SeedsPerContinuingRule(2, 0, 0, 0, 2, 0), steps=100, policies=4)
    job.run(tmp_path, CPU)
    whole = read_metrics(tmp_path)
    lines = (tmp_path / METRICS).read_text().splitlines(keepends=True)
    (tmp_path / METRICS).write_text(lines[0])
    job.run(tmp_path, CPU)
    assert read_metrics(tmp_path) == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": []}, "dims"), ({"steps": 10}, "steps"), ({"burn_in": 10**6}, "burn_in"), ({"delta": 1.0}, "delta"),
        ({"switching_factor": 1.0}, "switching_factor"), ({"misspecification": [-0.1]}, "misspecification"),
        ({"seeds": SeedsPerContinuingRule(0, 0, 0, 0, 0, 0)}, "no rule has a seed"), ({"policies": 0}, "policies"),
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContinuingRegretJob(**({"mdp": LAYOUT, "dims": [2]} | arguments))
