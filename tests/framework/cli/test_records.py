"""From a recipe to records, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bfmkit.runs.record import Record

MDP = "{layout: random, size: 12, dim: 5}"
RECIPE = f"""\
type: infer
bfm: {{type: tabular, mdp: {MDP}, pool: 8}}
environment: {{type: tabular, mdp: {MDP}, task: random_0, episode_steps: 15}}
agent:
  type: task_inference
  posterior: {{type: ridge, regularization: 0.5}}
  acquisition: {{type: ucb, candidates: {{type: ellipsoid, count: 8}}}}
episodes: 2
oracle_episodes: 1
seeds: 2
tasks: [random_0, "feature_0 - feature_1"]
"""


@pytest.fixture
def run(bfmkit, here: Path) -> Path:
    (here / "mine.yaml").write_text(RECIPE)
    outcome = bfmkit("run", "mine", "--out", "run")
    assert outcome.code == 0, outcome.err
    assert "30 rewards within two of the belief's standard deviations" not in outcome.err
    assert "of 60 rewards within two of the belief's standard deviations" in outcome.err
    return here / "run"


def test_a_record_for_every_task_and_seed_replays_and_explains(bfmkit, run: Path, here: Path) -> None:
    names = sorted(path.name for path in (run / "records").iterdir())
    assert len(names) == 4 and names[-2:] == ["random_0-seed-0.safetensors", "random_0-seed-1.safetensors"]
    assert not (run / "checkpoints" / "labels").exists()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["tasks"]["random_0"]["calibration"]["rewards"] == 60
    for name in names:
        outcome = bfmkit("replay", run / "records" / name)
        assert outcome.code == 0, outcome.err
        assert "the same bits again: weights, chosen weights, z" in outcome.out
    record = Record.load(run / "records" / names[-1])
    assert record.facts["agent"]["posterior"] == {"type": "ridge", "regularization": 0.5}
    assert record.facts["task"] == "random_0" and record.facts["seed"] == 1
    assert record.facts["rewards"]["acting_from"] == "the environment, while acting"
    outcome = bfmkit("explain", run / "records" / names[0], "--picture", here / "it.png")
    assert outcome.code == 0, outcome.err
    assert '"feature_0 - feature_1", seed 0' in " ".join(outcome.out.split())
    assert "least known" in outcome.out and (here / "it.png").is_file() and (here / "it.csv").is_file()
    assert bfmkit("explain", run / "records" / names[0], "--picture", here / "it.pdf").code == 0
    assert (here / "it.pdf").read_bytes().startswith(b"%PDF")
    refused = bfmkit("explain", run / "records" / names[0], "--picture", here / "it.jpg")
    assert refused.code == 2 and 'not as "jpg"' in refused.err and not (here / "it.jpg").exists()
    assert bfmkit("explain", run / "records" / names[1]).code == 0
    assert (run / "records" / names[1]).with_suffix(".png").is_file()


def one_line(outcome) -> str:
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1 and "Traceback" not in outcome.err
    return outcome.err


@pytest.mark.parametrize("verb", ["replay", "explain"])
def test_what_cannot_be_used_is_refused_in_one_line(bfmkit, run: Path, here: Path, verb: str) -> None:
    path = run / "records" / "random_0-seed-0.safetensors"
    assert "no such file" in one_line(bfmkit(verb, "nothing.safetensors"))
    assert "damaged" in one_line(bfmkit(verb, run / "recipe.yaml"))
    record = Record.load(path)
    facts = json.loads(json.dumps(record.facts))
    facts["bfm"]["discount"] = 0.5
    Record(facts, record.tensors).save(here / "other.safetensors")
    assert "is not the model of this record any more" in one_line(bfmkit(verb, "other.safetensors"))
    facts["bfm"] = {"type": "checkpoint", "path": "gone"}
    Record(facts, record.tensors).save(here / "gone.safetensors")
    assert "gone" in one_line(bfmkit(verb, "gone.safetensors"))


def test_a_film_of_no_episode_is_refused(bfmkit, run: Path) -> None:
    record = run / "records" / "random_0-seed-0.safetensors"
    assert "episodes must be at least 1, got 0" in one_line(bfmkit("play", record, "--episodes", "0"))


def test_other_bits_are_a_failure(bfmkit, run: Path, here: Path) -> None:
    record = Record.load(run / "records" / "random_0-seed-0.safetensors")
    weights = record.weights.clone()
    weights[0] = torch.nextafter(weights[0], torch.tensor(9.0, dtype=torch.float64))
    facts = json.loads(json.dumps(record.facts))
    facts["made"]["versions"]["torch"] = "1.0"
    Record(facts, {**record.tensors, "weights": weights}).save(here / "wrong.safetensors")
    outcome = bfmkit("replay", "wrong.safetensors")
    assert outcome.code == 1
    assert "not the same bits" in outcome.err and "torch was 1.0 and is" in outcome.err
