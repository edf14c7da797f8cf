from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from bfmkit.jobs.regret import RegretJob, SeedsPerRule
from bfmkit.runs.run_directory import METRICS, read_metrics
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
LAYOUT = MDPLayout("random", size=6, actions=3, branching=2)
EACH = SeedsPerRule(3, 2, 2, 2, 2, 2, 2)


class TestRegretJob(JobContract):
    def make(self) -> RegretJob:
        return RegretJob(LAYOUT, [2, 3], EACH, episodes=12, horizon=3, policies=5)


def test_says_what_was_seen_of_every_rule(tmp_path: Path) -> None:
    seeds = SeedsPerRule(3, 0, 0, 0, 0, 0, 20)
    summary = RegretJob(LAYOUT, [2], seeds, episodes=200, burn_in=40, horizon=3, policies=5).run(tmp_path, CPU)
    rules = summary["dims"]["2"]["rules"]
    assert set(rules) == {"ucb", "random"}
    assert rules["random"]["exponent"] == pytest.approx(1, abs=0.05)
    assert rules["ucb"]["exponent"] < 0.6
    assert rules["ucb"]["share_under_bound"] == 1
    assert rules["ucb"]["share_inside_confidence_set"] == 1
    assert "bound" not in rules["random"]
    table = list(csv.DictReader((tmp_path / "figures" / "regret.csv").read_text().splitlines()))
    last = [row for row in table if row["rule"] == "ucb"][-1]
    assert float(last["regret"]) == pytest.approx(rules["ucb"]["regret"])
    assert (tmp_path / "figures" / "regret.png").is_file()


def test_goes_on_with_the_rule_it_was_at(tmp_path: Path) -> None:
    job = RegretJob(LAYOUT, [2], SeedsPerRule(3, 0, 0, 0, 2, 0, 0), episodes=8, horizon=2, policies=4)
    job.run(tmp_path, CPU)
    whole = read_metrics(tmp_path)
    lines = (tmp_path / METRICS).read_text().splitlines(keepends=True)
    # As a run killed while it wrote the second rule leaves it.
    (tmp_path / METRICS).write_text("".join(lines[:4]))
    job.run(tmp_path, CPU)
    assert read_metrics(tmp_path) == whole


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    job, threads = TestRegretJob().make(), torch.get_num_threads()
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            (tmp_path / str(number)).mkdir()
            job.run(tmp_path / str(number), CPU)
            found.append({(row["dim"], row["rule"], row["seed"]): row for row in read_metrics(tmp_path / str(number))})
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_a_number_of_seeds_is_not_negative() -> None:
    with pytest.raises(ValueError, match="ucb must not be negative"):
        SeedsPerRule(ucb=-1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dims": []}, "dims"),
        ({"dims": [2, 2]}, "dims"),
        ({"dims": [0]}, "dims must be at least 1, got 0"),
        ({"seeds": SeedsPerRule(0, 0, 0, 0, 0, 0, 0)}, "no rule"),
        ({"episodes": 1}, "episodes"),
        ({"burn_in": 12}, "burn_in"),
        ({"discount": 1.5}, "discount"),
        ({"horizon": 0}, "horizon"),
        ({"switching_factor": 1.0}, "switching_factor"),
        ({"delta": 1.0}, "delta"),
        ({"regularization": 0.0}, "regularization"),
    ],
)
def test_refuses_numbers_out_of_range(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegretJob(**{"mdp": LAYOUT, "dims": [2], "episodes": 12, **wrong})


def test_tensorboard_has_the_regret_of_every_rule(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job = RegretJob(LAYOUT, [2, 3], SeedsPerRule(3, 0, 0, 0, 2, 0, 0), episodes=8, horizon=2, policies=4)
    summary = job.run(tmp_path, CPU)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"regret/d_{dim}/{rule}" for dim in (2, 3) for rule in ("ucb", "thompson")}
    found = events.Scalars("regret/d_3/thompson")
    assert [event.step for event in found] == job.grid.tolist()
    assert found[-1].value == pytest.approx(summary["dims"]["3"]["rules"]["thompson"]["regret"], rel=1e-5)
