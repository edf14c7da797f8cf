from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.evaluation.benchmark.entry import RecipeEntry
from bfmkit.interfaces import JobError, StepResult
from bfmkit.jobs.data_efficiency import DataEfficiencyJob, summarise
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

CPU = torch.device("cpu")
STEPWISE = "agent.schedule={type: every, steps: 1}"
THOMPSON = RecipeEntry("opti_bfm_ts", "thompson", (STEPWISE,))
RANDOM = RecipeEntry("opti_bfm_two_stage", "random_z", (STEPWISE, "agent.acquisition={type: random}"))


def job(environment: BallEnvironment | None = None, **settings: object) -> DataEfficiencyJob:
    posterior = RidgePosterior(1e-3)
    defaults = {"gatherers": [THOMPSON, RANDOM], "posterior": posterior, "labels": [1, 10, 60], "seeds": 3}
    return DataEfficiencyJob(LinearBFM(), environment or BallEnvironment(), **{**defaults, **settings})


class TestDataEfficiencyJob(JobContract):
    def make(self) -> DataEfficiencyJob:
        return DataEfficiencyJob(LinearBFM(), BallEnvironment(), [THOMPSON], RidgePosterior(), labels=[2, 30], seeds=2)


def test_compares_what_labels_are_worth(tmp_path: Path) -> None:
    summary = job(tasks=["task_0", "task_2"]).run(tmp_path, CPU)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    rows = read_metrics(tmp_path)
    assert len(rows) == 2 * 3 * (3 * 3 + 2)
    for numbers in summary["tasks"].values():
        assert numbers["oracle_return"] == pytest.approx(20.0, abs=1e-3)
        assert list(numbers["sources"]) == ["thompson", "random_z", "inference_set"]
        for entry in numbers["sources"].values():
            # Here rewards are linear, so enough labels are as good as knowing.
            assert entry["relative_return"][-1] > 0.999
            assert entry["return"][0] < entry["return"][-1]
            assert len(entry["standard_error"]) == 3
    table = (tmp_path / "figures" / "data_efficiency.csv").read_text()
    assert len(table.splitlines()) == 1 + 2 * 3 * 3


def test_goes_on_with_the_task_it_was_at(tmp_path: Path) -> None:
    class Interrupted(BallEnvironment):
        left = 10**9

        def with_tasks(self, tasks: list) -> Interrupted:
            return Interrupted(tasks=tasks)

        def step_batch(self, action: torch.Tensor) -> StepResult:
            Interrupted.left -= 1
            if Interrupted.left == 0:
                raise KeyboardInterrupt
            return super().step_batch(action)

    for name in ("whole", "torn"):
        (tmp_path / name).mkdir()
    tasks = ["task_0", "task_1"]
    expected = job(Interrupted(), tasks=tasks).run(tmp_path / "whole", CPU)
    Interrupted.left = 250
    with pytest.raises(KeyboardInterrupt):
        job(Interrupted(), tasks=tasks).run(tmp_path / "torn", CPU)
    assert {row["task"] for row in read_metrics(tmp_path / "torn")} == {"task_0"}
    with (tmp_path / "torn" / "metrics.jsonl").open("a") as file:
        file.write('{"task": "task_1", "source": "thompson", "labels": 1, "seed": 0, "return": 99.0}\n')
    assert job(Interrupted(), tasks=tasks).run(tmp_path / "torn", CPU) == expected
    assert read_metrics(tmp_path / "torn") == read_metrics(tmp_path / "whole")


def test_an_agent_that_gathers_nothing_is_no_gatherer(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="nobody: keeps no belief"):
        job(gatherers=[RecipeEntry("random", "nobody")]).run(tmp_path, CPU)


def test_summarises_by_hand() -> None:
    known = [("a", 5, 0, -2.0), ("a", 5, 1, -4.0)]
    known += [(name, None, seed, value) for name, value in (("oracle", -1.0), ("floor", -9.0)) for seed in (0, 1)]
    names = ("source", "labels", "seed", "return")
    rows = [{"task": "t", **dict(zip(names, values, strict=True))} for values in known]
    assert summarise(rows) == {
        "t": {
            "oracle_return": -1.0,
            "floor_return": -9.0,
            "sources": {
                "a": {
                    "return": [-3.0],
                    "relative_return": [0.75],
                    "relative_return_interval": [[0.625, 0.875]],
                    "no_relative_return": [None],
                    "standard_error": [1.0],
                }
            },
        }
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": []}, "labels"),
        ({"labels": [5, 3]}, "labels"),
        ({"labels": [0, 3]}, "labels"),
        ({"labels": [65]}, "holds 64 transitions, too few for 65"),
        ({"episodes": 0}, "episodes"),
        ({"seeds": 0}, "seeds"),
        ({"gatherers": []}, "at least one"),
        ({"gatherers": ["regret_tiny"]}, "type infer"),
        ({"gatherers": [THOMPSON, THOMPSON]}, "two recipes"),
        ({"gatherers": ["oracle"]}, "compared with anyway"),
        ({"tasks": "fly"}, "fly"),
        ({"environment": BallEnvironment(dim=5)}, "the model was made for"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        job(**settings)


def test_tensorboard_has_the_return_per_number_of_labels(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    numbers = TestDataEfficiencyJob().make().run(tmp_path, CPU)["tasks"]["task_0"]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for source, values in (
        ("thompson", numbers["sources"]["thompson"]["return"]),
        ("oracle", [numbers["oracle_return"]] * 2),
    ):
        found = events.Scalars(f"return/task_0/{source}")
        assert [event.step for event in found] == [2, 30]
        assert [event.value for event in found] == pytest.approx(values, rel=1e-5)
