from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.runs.explanation import Explanation, explain
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.record import Record, RecordError
from bfmkit.runs.recording import record_of
from bfmkit.testing.models import BallEnvironment, LinearBFM


def record() -> Record:
    """Of a world with features x_0 to x_3, where x_1 has been seen alone and is worth 2."""
    agent = TaskInferenceAgent(RidgePosterior(regularization=1.0), GreedyAcquisition())
    agent.label_log = LabelLog({"agent": {"posterior": {"type": "ridge", "regularization": 1.0}}})
    agent.start(LinearBFM(), [7])
    there = torch.tensor([0.0, 1.0, 0.0, 0.0])
    for _ in range(999):
        agent.observe(there, there, there, 2.0)
    return record_of(agent, task="2 * x_1")


@pytest.fixture(scope="module")
def known() -> Explanation:
    return explain(record(), LinearBFM(), BallEnvironment())


def test_a_task_that_is_only_a_name_says_nothing_of_the_true_reward() -> None:
    named = record()
    named = replace(named, facts={**named.facts, "task": "standing still"})
    assert explain(named, LinearBFM(), BallEnvironment()).true is None


def test_the_reward_it_makes_and_what_goes_with_it(known: Explanation) -> None:
    after = LinearBFM().inference_set()["next", "physics"]
    assert known.believed is not None and known.true is not None and known.deviations is not None
    np.testing.assert_allclose(known.believed, 1.998 * after[:, 1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(known.true, 2 * after[:, 1], rtol=1e-6, atol=1e-6)
    spread = (after.square().sum(-1) - after[:, 1].square() * 0.999).sqrt()
    np.testing.assert_allclose(known.deviations, spread, rtol=1e-6)
    assert next(iter(known.correlations)) == "x_1"
    assert known.correlations["x_1"] == pytest.approx(1.0)
    assert known.explained_variance == pytest.approx(1.0, abs=1e-5)


def test_the_best_and_the_least_known_part(known: Explanation) -> None:
    assert len(known.parts) == 4
    deviations = [part.deviation for part in known.parts]
    assert deviations == sorted(deviations)
    assert known.parts[0].quantity == "x_1"
    assert known.parts[0].deviation < 0.05 < known.parts[1].deviation
    assert all(part.size >= 0 for part in known.parts)
    # Together they are the reward: the parts' functions are orthonormal over the inference set.
    assert known.believed is not None
    total = sum(part.size**2 for part in known.parts)
    assert total == pytest.approx(float(np.square(known.believed).mean()), rel=1e-6)


def test_says_it_in_a_paragraph(known: Explanation) -> None:
    text = known.paragraph()
    for words in (
        'Mean weights of the posterior ridge (regularization 1.0) with 4 features, for task "2 * x_1", seed 7',
        "999 rewards in 999 steps of acting",
        "On the 64 transitions",
        "It correlates most with x_1 (+1.00)",
        "explains 1.00 of the variance",
        "Best known is the part correlated with x_1 (+0.98)",
        "of 999 rewards within two",
    ):
        assert words in text, text
    lines = list(known.tables())
    assert lines[1].startswith("best known") and "x_1" in lines[1]
    assert lines[4].startswith("least known")


@pytest.mark.parametrize(
    ("recipe", "called"),
    [
        (None, "model of ball ("),
        ({"type": "whitened", "bfm": {"type": "tabular"}}, "model whitened of tabular of ball ("),
        ({"type": "checkpoint", "path": "zoo:walker"}, "model zoo:walker ("),
        (
            {"type": "whitened", "bfm": {"type": "intercept", "bfm": {"type": "checkpoint", "path": "zoo:walker"}}},
            "model whitened intercept of zoo:walker (",
        ),
    ],
)
def test_names_the_model_and_what_is_around_it(known: Explanation, recipe: dict | None, called: str) -> None:
    facts = {key: value for key, value in known.record.facts.items() if key != "bfm"}
    told = facts if recipe is None else {**facts, "bfm": recipe}
    assert called in replace(known, record=replace(known.record, facts=told)).paragraph()


def test_goes_without_environment_or_transitions() -> None:
    alone = explain(record(), LinearBFM())
    assert alone.true is None and alone.correlations == {} and alone.explained_variance is None
    assert "Best known is one direction of the weights" in alone.paragraph()
    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.label_log = LabelLog()
    agent.start(LinearBFM(labelled=0), [0])
    nothing = explain(record_of(agent), LinearBFM(labelled=0), BallEnvironment())
    assert nothing.believed is None
    assert "no inference set" in nothing.paragraph() and "an unnamed task" in nothing.paragraph()
    assert len(list(nothing.tables())) == 5


def test_another_model_is_refused() -> None:
    with pytest.raises(RecordError, match="any more"):
        explain(record(), LinearBFM(labelled=32))
    with pytest.raises(RecordError, match="hand it over"):
        explain(replace(record(), facts={key: value for key, value in record().facts.items() if key != "bfm"}))
