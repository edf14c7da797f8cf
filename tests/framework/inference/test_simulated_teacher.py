from __future__ import annotations

import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.logistic import LogisticPosterior
from bfmkit.components.posteriors.preference import PreferencePosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.simulated_teacher import Teacher
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.recording import record_of
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import LinearBFM

# A step of the test world takes a second.
EAGER = Teacher(0.5, delay=0.0, jitter=0.0, window=1.0, noise=0.0, mistakes=0.0, credit=(0.0, 1.0))


class TestAgentTaughtByPresses(AgentContract):
    def make(self) -> TaskInferenceAgent:
        posterior = LogisticPosterior(labels=16)
        return TaskInferenceAgent(
            posterior, ThompsonAcquisition(), EverySchedule(3), update_every=3, label_memory=9, teacher=EAGER
        )


class TestAgentTaughtByComparisons(AgentContract):
    def make(self) -> TaskInferenceAgent:
        posterior = PreferencePosterior(slope=1.0, labels=16)
        return TaskInferenceAgent(posterior, GreedyAcquisition(), label_memory=12, teacher=EAGER)


def shown(agent: TaskInferenceAgent, rewards: list[float]) -> list[tuple[int, float]]:
    """The presses (step, value) of a teacher who sees these rewards one after another."""
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [5])
    agent.begin_episode()
    here = torch.full((4,), 0.3)
    for reward in rewards:
        agent.observe(here, here, here, reward)
    late = agent.label_log.late_labels(0)
    return list(zip(late.steps.tolist(), late.rewards.tolist(), strict=True))


def pressed(**settings: float) -> TaskInferenceAgent:
    settings = {"presses_per_second": 1.0, "delay": 0.0, "jitter": 0.0, "window": 1.0, "noise": 0.0, **settings}
    teacher = Teacher(**{"mistakes": 0.0, **settings})
    return TaskInferenceAgent(LogisticPosterior(labels=16), GreedyAcquisition(), label_memory=20, teacher=teacher)


def test_good_is_what_lies_above_the_standard() -> None:
    presses = shown(pressed(), [0.0, 1.0, 0.4, 0.6, 0.1, 0.9])
    assert dict(presses) == {1: -1.0, 2: 1.0, 3: -1.0, 4: 1.0, 5: -1.0, 6: 1.0}
    strict = dict(shown(pressed(standard=0.8), [0.0, 1.0, 0.4, 0.6, 0.9]))
    assert strict == {1: -1.0, 2: 1.0, 3: -1.0, 4: -1.0, 5: 1.0}


def test_a_press_comes_late() -> None:
    presses = shown(pressed(delay=2.0), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    assert presses[3:] == [(4, 1.0), (5, -1.0), (6, -1.0), (7, 1.0)]


def test_a_window_is_judged_by_its_mean() -> None:
    presses = dict(shown(pressed(window=2.0), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]))
    assert (presses[4], presses[6]) == (1.0, -1.0)


def test_they_press_as_often_and_as_wrongly_as_said() -> None:
    rewards = [0.0, 1.0] * 200
    presses = shown(pressed(presses_per_second=0.3, mistakes=0.2), rewards)
    assert len(presses) / 400 == pytest.approx(0.3, abs=0.06)
    wrong = [(value > 0) != (step % 2 == 0) for step, value in presses]
    assert sum(wrong) / len(wrong) == pytest.approx(0.2, abs=0.09)
    noisy = shown(pressed(noise=3.0), rewards)
    assert 0.3 < sum((value > 0) != (step % 2 == 0) for step, value in noisy) / 400 < 0.5


def test_of_two_clips_the_better_one_is_told() -> None:
    agent = TestAgentTaughtByComparisons().make()
    presses = shown(agent, [float(step) for step in range(30)])
    assert len(presses) > 5 and all(value == 1.0 for _, value in presses)
    assert all(value == -1.0 for _, value in shown(agent, [-float(step) for step in range(30)]))


def test_what_was_taught_is_replayed_to_the_same_bits() -> None:
    agent = TestAgentTaughtByPresses().make()
    agent.label_log = LabelLog()
    agent.start(LinearBFM(), [3])
    agent.begin_episode()
    observation = torch.full((4,), 0.2)
    for _ in range(40):
        action = agent.act(observation)
        agent.observe(observation, action, action, float(action[0]))
        observation = action
    record = record_of(agent)
    assert record.facts["rewards"]["late"] > 5 and record.facts["rewards"]["acting"] == 0
    assert replay(record, Parts(LinearBFM(), agent.posterior, agent.acquisition)).same


def test_refuses_what_makes_no_sense() -> None:
    for settings in ({"presses_per_second": 0.0}, {"delay": -0.1}, {"mistakes": 1.5}, {"standard": -0.2}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Teacher(**settings)
    with pytest.raises(ValueError, match="credit"):
        Teacher(credit=(1.0, 0.2))
    with pytest.raises(ValueError, match="label_memory"):
        TaskInferenceAgent(LogisticPosterior(), GreedyAcquisition(), teacher=EAGER)
    far = TaskInferenceAgent(
        LogisticPosterior(), GreedyAcquisition(), label_memory=10, teacher=Teacher(credit=(0.2, 30.0))
    )
    with pytest.raises(ValueError, match="label_memory must be at least"):
        far.start(LinearBFM(), [0])
    short = TaskInferenceAgent(
        PreferencePosterior(), ThompsonAcquisition(), label_memory=8, teacher=Teacher(window=6.0)
    )
    with pytest.raises(ValueError, match="up to 12 steps"):
        short.start(LinearBFM(), [0])
