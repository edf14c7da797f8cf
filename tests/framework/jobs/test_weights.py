from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.cli import main
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.jobs.weights import WeightsJob
from bfmkit.runs.record import Record
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

CPU = torch.device("cpu")
GOAL = [0.0, 0.9, 0.0, 0.1]


def job(**settings: object) -> WeightsJob:
    return WeightsJob(LinearBFM(), RidgePosterior(), **settings)  # type: ignore[arg-type]


class TestWeightsJob(JobContract):
    def make(self) -> WeightsJob:
        return WeightsJob(LinearBFM(), RidgePosterior(), goal=GOAL, environment=BallEnvironment())


def test_from_labels(tmp_path: Path) -> None:
    observation = np.random.default_rng(0).normal(size=(200, 4))
    np.savez(tmp_path / "x.npz", observation=observation, reward=observation @ [0, 2, 0, -1])
    (tmp_path / "out").mkdir()
    found = job(labels=tmp_path / "x.npz", task="2 * x_1 - x_3", environment=BallEnvironment()).run(
        tmp_path / "out", CPU
    )
    record = Record.load(tmp_path / "out" / "records" / "weights.safetensors")
    torch.testing.assert_close(record.weights, torch.tensor([0, 2, 0, -1.0]).double(), atol=0.05, rtol=0)
    assert found["explained_variance"] > 0.99 and "2 * x_1 - x_3" in found["explanation"]
    assert "x.npz, SHA-256" in record.facts["rewards"]["start_from"]
    assert (tmp_path / "out" / "figures" / "weights.png").is_file()
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == found


def test_a_goal_from_a_file_is_that_of_the_recipe(tmp_path: Path) -> None:
    np.savez(tmp_path / "goal.npz", observation=np.array([GOAL]))
    one, other = job(goal=tmp_path / "goal.npz").infer(), job(goal=GOAL).infer()
    assert torch.equal(one.weights, other.weights)
    np.savez(tmp_path / "way.npz", observation=np.array([GOAL, GOAL]))
    assert job(demonstration=tmp_path / "way.npz").infer().rewards.sum() == 2
    with pytest.raises(ValueError, match="a goal is one observation"):
        job(goal=tmp_path / "way.npz")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "give one of labels, goal and demonstration, got none"),
        ({"goal": GOAL, "labels": Path("x")}, "labels and goal"),
        ({"goal": [1.0]}, "observations must be"),
        ({"goal": []}, "observations must be"),
        ({"goal": GOAL, "environment": BallEnvironment(dim=5)}, "the model was made for"),
        ({"goal": GOAL, "environment": BallEnvironment(), "task": "fly"}, "fly"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        job(**settings)


def test_rewards_belong_to_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", observation=np.array([GOAL]), reward=np.ones(1))
    with pytest.raises(ValueError, match="has no rewards"):
        job(goal=tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        job(demonstration=tmp_path / "gone.npz")


def test_from_a_recipe_to_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line: infer, replay, act."""
    monkeypatch.chdir(tmp_path)
    mdp = "{layout: grid, size: 3}"
    Path("go.yaml").write_text(
        f"type: weights\nbfm: {{type: tabular, mdp: {mdp}}}\nposterior: {{type: ridge}}\ngoal: [{'0, ' * 8}1]\n"
    )
    Path("act.yaml").write_text(
        f"type: infer\nbfm: {{type: tabular, mdp: {mdp}}}\nenvironment: {{type: tabular, mdp: {mdp}, task: state_8}}\n"
        "agent: {type: fixed, record: out/records/weights.safetensors}\nepisodes: 1\n"
    )
    assert main(["run", "act"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["run", "go", "--out", "out"]) == 0
    assert main(["replay", "out/records/weights.safetensors"]) == 0
    assert "the same bits again: weights, z" in capsys.readouterr().out
    assert main(["run", "act", "--out", "acted"]) == 0
    summary = json.loads(Path("acted/summary.json").read_text())
    assert summary["tasks"]["state_8"]["relative_return"] == pytest.approx(1.0)
    assert main(["run", "act", "bfm.discount=0.5", "--out", "other"]) == 2
    assert "is not the model of this record" in capsys.readouterr().err
