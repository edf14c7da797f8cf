from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from bfmkit.components.bfms.tabular import TabularBFM
from bfmkit.interfaces import BFM, Environment
from bfmkit.jobs.inspect import InspectJob
from bfmkit.recipe import defer
from bfmkit.recipe.deferred import Deferred
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
GRID = MDPLayout("grid", size=3, dim=4)
WORDS = {"layout": "grid", "size": 3, "dim": 4}


def environment(steps: int = 60, **mdp: Any) -> Deferred[Environment]:
    node = {"type": "tabular", "mdp": {**WORDS, **mdp}, "task": "random_0", "episode_steps": steps}
    return defer(Environment, node)


class Faulty(TabularBFM):
    """The grid's exact model, but for ψ's scale and whether the actor listens."""

    def __init__(self, scale: float = 1.0, deaf: bool = False, labelled: bool = True) -> None:
        super().__init__(GRID)
        self.scale, self.deaf, self.labelled = scale, deaf, labelled

    def successor_features(self, observation, z, action=None):
        return self.scale * super().successor_features(observation, z, action)

    def act(self, observation, z):
        return super().act(observation, torch.ones_like(z) if self.deaf else z)

    def inference_set(self):
        return torch.cat([super().inference_set()] * 4) if self.labelled else None


def inspect(out: Path, bfm: BFM, steps: int = 60) -> dict[str, Any]:
    return InspectJob(bfm, [environment(steps)], transitions=200, policies=6).run(out, CPU)


class TestInspectJob(JobContract):
    def make(self) -> InspectJob:
        return InspectJob(TabularBFM(GRID), [environment(50)], transitions=200, policies=3)


def test_of_an_exact_model_nothing_is_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = inspect(tmp_path, Faulty())
    values = {name: row["value"] for name, row in summary["measures"].items()}
    # Returns are cut where what is left weighs a hundredth.
    assert values["prediction_correlation"] == pytest.approx(1, abs=1e-3)
    assert values["prediction_scale"] == pytest.approx(1, abs=0.02)
    assert values["specialisation"] > 0.9
    assert values["bellman_error"] < 1e-5
    assert summary["bad"] == []
    assert summary["tasks"]["random_3"]["reward_fit"] == pytest.approx(1, abs=1e-6)
    assert summary["tasks"]["random_3"]["prediction_scale"] == pytest.approx(1, abs=0.02)
    said = capsys.readouterr().err
    assert "never choose a checkpoint by them" in said and "nothing is bad" in said
    rows = list(csv.DictReader((tmp_path / "figures" / "agreement.csv").read_text().splitlines()))
    for row in rows:
        assert float(row["predicted"]) == pytest.approx(float(row["actual"]), rel=0.02, abs=0.05)
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "agreement.png", "spread.png", "spectrum.png"
    }  # fmt: skip


def test_the_policy_for_a_task_gets_what_is_best_there(tmp_path: Path) -> None:
    """With a discount of 0.9 and 60 steps: the best state, but for the way there."""
    summary = inspect(tmp_path, Faulty())
    best = (GRID.build().features @ GRID.build().tasks["random_0"]).max()
    assert summary["tasks"]["random_0"]["return"] == pytest.approx(60 * float(best), rel=0.1)
    assert summary["tasks"]["random_0"]["random_highest"] <= summary["tasks"]["random_0"]["return"] + 1e-6


@pytest.mark.parametrize(
    ("fault", "bad"),
    [
        ({"scale": 3.0}, {"prediction_scale", "implied_reward_scale"}),
        ({"scale": -1.0}, {"prediction_correlation", "prediction_scale", "implied_reward_scale"}),
        ({"deaf": True}, {"spread_of_returns", "specialisation"}),
    ],
)
def test_a_fault_is_flagged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: dict[str, Any], bad: set[str]
) -> None:
    summary = inspect(tmp_path, Faulty(**fault))
    assert bad <= set(summary["bad"])
    assert "BAD" in capsys.readouterr().err


def test_without_an_inference_set_it_looks_where_policies_go(tmp_path: Path) -> None:
    summary = inspect(tmp_path, Faulty(labelled=False))
    assert any("inference set" in note for note in summary["notes"])
    assert summary["measures"]["bellman_error"]["value"] < 1e-5
    assert summary["measures"]["prediction_scale"]["value"] == pytest.approx(1, abs=0.02)


def test_without_an_environment_it_looks_at_the_inference_set(tmp_path: Path) -> None:
    summary = InspectJob(Faulty()).run(tmp_path, CPU)
    assert set(summary["measures"]) == {
        "effective_dimension",
        "effective_rank",
        "condition_number",
        "bellman_error",
        "implied_reward_scale",
    }
    assert any("No environment" in note for note in summary["notes"])


def test_episodes_too_short_to_compare_are_said_to_be(tmp_path: Path) -> None:
    summary = inspect(tmp_path, Faulty(), steps=10)
    assert "prediction_scale" not in summary["measures"]
    assert any("too short" in note for note in summary["notes"])


def test_the_environment_of_the_models_body_is_taken() -> None:
    other = environment(50, size=4)
    job = InspectJob(Faulty(), [other, environment(50)])
    assert job.environment is not None and job.environment.spec.domain == Faulty().environment_spec.domain
    with pytest.raises(ValueError, match="no environment is of the model's body"):
        InspectJob(Faulty(), [other])


@pytest.mark.parametrize("wrong", [{"policies": 1}, {"episodes": 1}, {"transitions": 50}])
def test_too_few_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least"):
        InspectJob(Faulty(), **wrong)


def test_neither_data_nor_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="brings no inference set"):
        InspectJob(Faulty(labelled=False))


def test_tensorboard_has_the_measures_under_the_names_of_a_training(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    measures = inspect(tmp_path, Faulty())["measures"]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"health/{name}" for name in measures}
    (event,) = events.Scalars("health/effective_rank")
    assert event.value == pytest.approx(measures["effective_rank"]["value"], rel=1e-5)
