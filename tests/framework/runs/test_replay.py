"""Every posterior and acquisition, in batches, with query rules, schedules and warm starts: the same bits again."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.information import InformationAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.candidate_samplers.mixture import MixtureCandidates
from bfmkit.components.candidate_samplers.sphere import SphereCandidates
from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.components.query_rules.budget import BudgetQueryRule
from bfmkit.components.query_rules.d_gap import DGapQueryRule
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.environments.labels import labelled_transitions
from bfmkit.inference.episode import run_episode
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.record import Record, RecordError
from bfmkit.runs.recording import record_of, save_record
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.models import BallEnvironment, LinearBFM

SEEDS = [11, 3, 8]
TASKS = ["task_0", "task_3", "task_1"]


def ucb() -> UCBAcquisition:
    return UCBAcquisition(EllipsoidCandidates(count=8))


def previous() -> UCBAcquisition:
    samplers = [EllipsoidCandidates(count=4), SphereCandidates(count=4)]
    return UCBAcquisition(MixtureCandidates(samplers, include_mean=True, include_previous=True))


AGENTS = {
    "ridge": lambda: TaskInferenceAgent(RidgePosterior(), ucb()),
    "forgetting": lambda: TaskInferenceAgent(RidgePosterior(discount=0.9), ucb(), EverySchedule(7)),
    "prior kept": lambda: TaskInferenceAgent(WeightedRidgePosterior(discount=0.9), previous()),
    "ensemble": lambda: TaskInferenceAgent(EnsemblePosterior(members=6), ThompsonAcquisition()),
    "unknown noise": lambda: TaskInferenceAgent(NormalInverseGammaPosterior(), ThompsonAcquisition(0.5)),
    "window": lambda: TaskInferenceAgent(SlidingWindowPosterior(steps=9), InformationAcquisition(SphereCandidates(8))),
    "few labels": lambda: TaskInferenceAgent(BayesianPosterior(0.1), ucb(), DeterminantSchedule(), DGapQueryRule(0.2)),
    "blocks": lambda: TaskInferenceAgent(RidgePosterior(discount=0.9), ucb(), EverySchedule(7), update_every=5),
    "blocks of few labels": lambda: TaskInferenceAgent(
        EnsemblePosterior(members=6), ThompsonAcquisition(), DeterminantSchedule(), BudgetQueryRule(17), update_every=4
    ),
    "warm": lambda: TaskInferenceAgent(RidgePosterior(discount=0.95), GreedyAcquisition(), labelled_transitions=20),
}


def lived(agent: TaskInferenceAgent, lengths: list[int] | None = None) -> TaskInferenceAgent:
    """Three runs over two episodes, of different lengths where ``lengths`` says so; some rewards never arrive."""
    agent.label_log = LabelLog()
    labelled = None
    if agent.labelled_transitions:
        labelled = labelled_transitions(LinearBFM(), BallEnvironment(), TASKS, agent.labelled_transitions)
    agent.start(LinearBFM(), SEEDS, labelled)
    environment = BallEnvironment(tasks=TASKS, lengths=lengths)
    for _ in range(2):
        run_episode(agent, environment)
    observation = torch.full((3, 4), 0.1)
    agent.observe(observation, observation, observation, torch.ones(3), torch.tensor([True, False, True]))
    return agent


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("lengths", [None, [20, 7, 13]])
def test_the_same_bits_again(tmp_path: Path, name: str, lengths: list[int] | None) -> None:
    agent = lived(AGENTS[name](), lengths)
    for run in range(3):
        save_record(agent, tmp_path / "x.safetensors", run, TASKS[run])
        record = Record.load(tmp_path / "x.safetensors")
        assert torch.equal(record.weights, agent.posterior.mean(agent.belief)[run])
        found = replay(record, Parts(LinearBFM(), agent.posterior, agent.acquisition))
        assert found.same, found.differences
        assert set(found.differences) == {"weights", "chosen_weights", "z"}
        assert not found.changed


@pytest.mark.parametrize("name", ["ridge", "forgetting", "ensemble", "few labels", "blocks", "blocks of few labels"])
def test_late_labels_are_replayed_where_they_came(tmp_path: Path, name: str) -> None:
    agent = AGENTS[name]()
    agent.label_memory = 10
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), SEEDS)
    agent.begin_episode()
    observation = torch.full((3, 4), 0.2)
    for step in range(17):
        action = agent.act(observation)
        if step % 5 == 1:  # after the choice of this step
            agent.label(torch.tensor([0.5, -1.0, 1.0]), (0, 3), weight=0.3)
        agent.observe(observation, action, action, torch.ones(3), torch.tensor([step % 2 == 0] * 3))
        if step % 4 == 3:  # before it
            agent.label(torch.full((3,), -0.7), 4, runs=torch.tensor([True, False, True]))
        observation = action
    for run in range(3):
        path = tmp_path / f"{run}.safetensors"
        record = save_record(agent, path, run)
        assert record.facts["rewards"]["late"] == (8, 4, 8)[run]
        found = replay(Record.load(path), Parts(LinearBFM(), agent.posterior, agent.acquisition))
        assert found.same, found.differences


def test_late_labels_survive_a_saved_state(tmp_path: Path) -> None:
    agents = []
    for _ in range(2):
        agent = AGENTS["ridge"]()
        agent.label_memory, agent.label_log = 5, LabelLog()
        agent.start(LinearBFM(), [3])
        agents.append(agent)
    first, second = agents
    here = torch.full((4,), 0.2)
    first.observe(here, first.act(here), here, 0.3)
    first.label(1.0)
    second.load_state_dict(first.state_dict())
    second.label(-1.0)
    second.act(here)
    record = record_of(second)
    assert record.tensors["late_rewards"].tolist() == [1.0, -1.0]
    assert replay(record, Parts(LinearBFM(), second.posterior, second.acquisition)).same


def test_says_where_the_weights_come_from() -> None:
    agent = lived(AGENTS["warm"]())
    record = record_of(agent, 1, "task_3")
    facts = record.facts
    assert (facts["task"], facts["seed"], facts["steps"]) == ("task_3", 3, 41)
    assert facts["batch"] == {"size": 3, "row": 1}
    # Forty of its episodes; the last reward did not arrive.
    assert facts["rewards"] == {
        "start": 20, "start_from": "given to start()", "acting": 40, "acting_from": "given to observe()",
    }  # fmt: skip
    assert facts["calibration"]["rewards"] == 40
    assert facts["model"]["domain"] == "ball" and facts["made"]["versions"]["torch"] == version("torch")
    assert record.tensors["start_features"].shape == (20, 4) and record.tensors["features"].shape == (40, 4)
    covariance = torch.linalg.inv(agent.belief["precision"][1])
    torch.testing.assert_close(record.tensors["covariance"], covariance)


@pytest.mark.parametrize("tensor", ["rewards", "features", "steps", "choice_observation", "choice_previous"])
def test_a_reward_changed_is_noticed(tensor: str) -> None:
    agent = lived(AGENTS["prior kept"]())
    record = record_of(agent)
    changed = record.tensors[tensor].clone()
    if tensor == "steps":
        changed[-1] += 1
    else:
        changed[(-1,) * changed.ndim] += 0.5
    wrong = replace(record, tensors={**record.tensors, tensor: changed})
    found = replay(wrong, Parts(LinearBFM(), agent.posterior, agent.acquisition))
    if tensor.startswith("choice_observation"):
        # In this world no prediction depends on where one is.
        assert found.same
        return
    assert not found.same
    assert all(value >= 0 for value in found.differences.values())


def test_another_model_is_refused() -> None:
    agent = lived(AGENTS["ridge"]())
    record = record_of(agent)
    for other in (LinearBFM(discount=0.8), LinearBFM(labelled=63), LinearBFM(episode_steps=21)):
        with pytest.raises(RecordError, match="is not the model of this record any more"):
            replay(record, Parts(other, agent.posterior, agent.acquisition))
    with pytest.raises(RecordError, match="hand them over"):
        replay(record)


def test_other_versions_are_told() -> None:
    agent = lived(AGENTS["ridge"]())
    record = record_of(agent)
    made: dict[str, Any] = {**record.facts["made"], "versions": {**record.facts["made"]["versions"], "torch": "1.0"}}
    found = replay(
        replace(record, facts={**record.facts, "made": made}), Parts(LinearBFM(), agent.posterior, agent.acquisition)
    )
    assert found.changed == {"torch": ("1.0", version("torch"))}


def test_a_run_that_was_stopped_has_a_record_up_to_there() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), ucb())
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [1, 2])
    environment = BallEnvironment(tasks=["task_0", "task_1"])
    run_episode(agent, environment)
    observation = torch.full((2, 4), 0.1)
    agent.begin_episode()
    agent.observe(observation, agent.act(observation), observation, torch.tensor([0.5, float("nan")]))
    agent.observe(observation, agent.act(observation), observation, torch.tensor([0.5, 0.5]))
    record = record_of(agent, 1)
    assert "reward is not finite" in record.facts["stopped"]
    assert record.facts["steps"] == 20
    assert replay(record, Parts(LinearBFM(), agent.posterior, agent.acquisition)).same


def test_needs_a_label_log_from_the_start_on() -> None:
    agent = TaskInferenceAgent(RidgePosterior(), ucb())
    agent.start(LinearBFM(), [1])
    with pytest.raises(ValueError, match="label log"):
        record_of(agent)
    saved = agent.state_dict()
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [1])
    agent.load_state_dict(saved)
    with pytest.raises(ValueError, match="saved without its label log"):
        record_of(agent)
    other = RandomAgent()
    other.label_log = LabelLog()
    other.start(LinearBFM(), [1])
    with pytest.raises(ValueError, match="belief"):
        record_of(other)


def test_an_agent_that_went_on_has_the_whole_record() -> None:
    agent = AGENTS["forgetting"]()
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), SEEDS)
    environment = BallEnvironment(tasks=TASKS)
    run_episode(agent, environment)
    saved = agent.state_dict()
    run_episode(agent, environment)
    again = AGENTS["forgetting"]()
    again.label_log = LabelLog()
    again.start(LinearBFM(), SEEDS)
    again.load_state_dict(saved)
    later = BallEnvironment(tasks=TASKS)
    later.seed(range(3), episode=1)
    run_episode(again, later)
    one, other = record_of(agent, 2), record_of(again, 2)
    assert set(one.tensors) == set(other.tensors)
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
