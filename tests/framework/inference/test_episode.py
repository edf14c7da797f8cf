from __future__ import annotations

import io

import pytest
import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import RunStoppedError, StepResult
from bfmkit.testing.models import BallEnvironment, LinearBFM


def learner(seeds: list[int], discount: float = 0.9) -> TaskInferenceAgent:
    agent = TaskInferenceAgent(RidgePosterior(discount=discount), GreedyAcquisition())
    agent.start(LinearBFM(), seeds)
    return agent


def test_sums_rewards_and_counts_steps_and_labels() -> None:
    agent, environment = learner([0, 1]), BallEnvironment(tasks=["task_0", "task_1"])
    steps = []
    episode = run_episode(agent, environment, steps.append)
    expected = torch.stack([step.outcome.reward for step in steps]).double().sum(0)
    torch.testing.assert_close(episode.returns, expected)
    assert episode.steps.tolist() == [20, 20]
    assert episode.labels.tolist() == [20, 20]
    assert episode.windows == ()
    assert run_episode(agent, environment).labels.tolist() == [40, 40]


def test_long_episodes_are_also_told_in_windows() -> None:
    agent, environment = learner([0, 1]), BallEnvironment(tasks=["task_0", "task_1"])
    episode = run_episode(agent, environment, window=8)
    assert [stats.steps.tolist() for stats in episode.windows] == [[8, 8], [8, 8], [4, 4]]
    assert [stats.labels.tolist() for stats in episode.windows] == [[8, 8], [16, 16], [20, 20]]
    torch.testing.assert_close(sum(stats.returns for stats in episode.windows), episode.returns)
    assert run_episode(agent, environment, window=20).windows == ()


def test_a_row_that_is_over_stands_still_and_is_what_it_would_be_alone() -> None:
    together = learner([4, 7])
    long_and_short = BallEnvironment(tasks=["task_0", "task_1"], lengths=[20, 6])
    long_and_short.seed([4, 7])
    alone, short = learner([7]), BallEnvironment(tasks=["task_1"], lengths=[6])
    short.seed([7])
    for _ in range(2):
        both, single = run_episode(together, long_and_short), run_episode(alone, short)
        assert both.steps.tolist() == [20, 6]
        torch.testing.assert_close(both.returns[1:], single.returns, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(together.belief["precision"][1:], alone.belief["precision"])
    assert together.state["step"].tolist() == [40, 12]


class Sick(BallEnvironment):
    """Its reward is not finite in row 0 from the third step on."""

    def step_batch(self, action: torch.Tensor) -> StepResult:
        outcome = super().step_batch(action)
        reward = outcome.reward.clone()
        if max(self.clock.step) >= 3:
            reward[0] = float("nan")
        return outcome._replace(reward=reward)


def test_a_run_that_is_stopped_leaves_the_others_going() -> None:
    agent = learner([0, 1])
    episode = run_episode(agent, Sick(tasks=["task_0", "task_1"]))
    assert episode.stopped.tolist() == [True, False]
    assert episode.returns[1].isfinite()
    assert episode.labels.tolist() == [2, 20]
    with pytest.raises(RunStoppedError, match="step 2"):
        run_episode(learner([0]), Sick())


def test_works_with_agents_that_do_not_learn() -> None:
    agent = RandomAgent()
    agent.start(LinearBFM(), [0])
    assert run_episode(agent, BallEnvironment()).labels.tolist() == [0]


@pytest.mark.parametrize("left_at", [8, 16])
def test_an_episode_left_in_its_middle_goes_on_to_the_same_bits(left_at: int) -> None:
    def begun() -> tuple[TaskInferenceAgent, BallEnvironment]:
        environment = BallEnvironment(tasks=["task_0", "task_1", "task_2"], lengths=[20, 10, 20])
        environment.seed([4, 7, 9])
        return learner([4, 7, 9]), environment

    left: dict[int, tuple[dict, dict]] = {}
    agent, environment = begun()

    def leave(snapshot: dict) -> None:
        left[snapshot["index"]] = snapshot, agent.state_dict()

    expected = run_episode(agent, environment, window=8, on_window=leave)
    assert list(left) == [8, 16]
    file = io.BytesIO()
    torch.save(left[left_at], file)
    file.seek(0)
    snapshot, state = torch.load(file, weights_only=True)
    again, environment = begun()
    again.load_state_dict(state)
    steps = []
    found = run_episode(again, environment, steps.append, window=8, snapshot=snapshot)
    assert [step.index for step in steps] == list(range(left_at, 20))
    assert torch.equal(found.returns, expected.returns) and torch.equal(found.steps, expected.steps)
    assert len(found.windows) == len(expected.windows) == 3
    for one, other in zip(found.windows, expected.windows, strict=True):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("returns", "steps", "labels"))
    assert (again.state == agent.state).all()


def test_an_environment_without_snapshots_is_never_left() -> None:
    class Plain(BallEnvironment):
        def snapshot(self) -> None:
            return None

    left: list = []
    run_episode(learner([0]), Plain(), window=8, on_window=left.append)
    assert left == []
