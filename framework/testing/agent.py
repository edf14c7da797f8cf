"""Contract of agents."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict, TensorDictBase

from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import BFM, Agent, RunStoppedError
from bfmkit.testing.models import BallEnvironment, LinearBFM

SEEDS = (11, 3, 8)
TASKS = ("task_0", "task_3", "task_1")


class AgentContract(ABC):
    """Contract of agents: subclass it in a test and build the agent in ``make``.

    The tests put it into a world whose best return is one a step.
    """

    @abstractmethod
    def make(self) -> Any:
        """The agent under test, not started."""

    def agent(self) -> Agent:
        """The agent, not started; contracts of an agent's parts build it around :meth:`make`."""
        return self.make()

    def model(self) -> BFM:
        """Model whose policies the agent acts with."""
        return LinearBFM()

    def started(self, runs: Sequence[int] = (0, 1, 2)) -> Agent:
        """The agent with the runs of those indices."""
        agent = self.agent()
        agent.start(self.model(), [SEEDS[run] for run in runs], self.labelled(agent, [TASKS[run] for run in runs]))
        return agent

    def labelled(self, agent: Agent, tasks: Sequence[str]) -> TensorDictBase | None:
        """Labelled transitions that the agent asks for."""
        if agent.labelled_transitions == 0:
            return None
        transitions = LinearBFM().inference_set()
        if transitions is None:
            return None
        environment = BallEnvironment()
        physics, action = transitions["next", "physics"], transitions["action"]
        rewards = torch.stack([environment.relabel(physics, action, task) for task in tasks], -1)
        transitions["next", "reward"] = rewards
        return transitions

    def environment(self, runs: Sequence[int] = (0, 1, 2), episode: int = 0) -> BallEnvironment:
        """Environment of those runs."""
        environment = BallEnvironment(tasks=[TASKS[run] for run in runs])
        environment.seed([SEEDS[run] for run in runs], episode)
        return environment

    def test_predicts_as_stable_baselines_asks(self) -> None:
        agent, same = self.started(), self.started()
        observation = self.environment().reset_batch()[0]
        starts = np.ones(3, dtype=bool)
        if agent.acts_by_steps:
            with pytest.raises(ValueError, match="goes by the steps"):
                agent.predict(observation.numpy(), None, episode_start=starts)
            return
        action, state = agent.predict(observation.numpy(), None, episode_start=starts, deterministic=True)
        assert isinstance(action, np.ndarray) and state is None
        np.testing.assert_array_equal(action, same.act(observation).numpy())
        with pytest.raises(ValueError, match="deterministic"):
            agent.predict(observation.numpy(), deterministic=False)

    def step(self, agent: Agent, environment: BallEnvironment, reward: torch.Tensor | None = None) -> torch.Tensor:
        """One step from the environment's present state; the action taken."""
        observation = environment._position.float()
        action = agent.act(observation)
        outcome = environment.step_batch(action)
        agent.observe(observation, action, outcome.observation, outcome.reward if reward is None else reward)
        return action

    def test_lives_through_episodes(self) -> None:
        agent, environment = self.started(), self.environment()
        for episode in range(2):
            result = run_episode(agent, environment)
            assert result.returns.isfinite().all()
            assert agent.state["step"].tolist() == [20 * (episode + 1)] * 3
        assert not agent.failures

    def test_works_without_an_environment_or_a_batch(self) -> None:
        agent = self.started([1])
        agent.begin_episode()
        observation = torch.full((4,), 0.1)
        for _ in range(3):
            action = agent.act(observation)
            assert action.shape == (4,)
            agent.observe(observation, action, action, 0.5)
            observation = action
        assert agent.state["step"].tolist() == [3]
        # What a robot has at hand is often NumPy's, in double precision.
        array: Any = observation.double().numpy()
        agent.observe(array, agent.act(array), array, 1)

    def test_a_run_alone_is_the_same_as_in_a_batch(self) -> None:
        together = self.started()
        whole = [run_episode(together, environment).returns for environment in [self.environment()] for _ in range(3)]
        for run in range(3):
            agent, environment = self.started([run]), self.environment([run])
            for episode in range(3):
                alone = run_episode(agent, environment).returns
                torch.testing.assert_close(alone, whole[episode][run : run + 1], rtol=1e-5, atol=1e-5)

    def test_a_resumed_agent_goes_on_as_if_nothing_had_happened(self) -> None:
        agent, environment = self.started(), self.environment()
        run_episode(agent, environment)
        file = io.BytesIO()
        torch.save(agent.state_dict(), file)
        file.seek(0)
        expected = run_episode(agent, environment).returns
        again = self.started()
        again.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(run_episode(again, self.environment(episode=1)).returns, expected)
        with pytest.raises(ValueError):
            self.started([0]).load_state_dict(agent.state_dict())

    def test_a_saved_state_does_not_go_on_with_the_agent(self) -> None:
        agent = self.started()
        run_episode(agent, self.environment())
        saved, before = agent.state_dict(), agent.state.clone()
        run_episode(agent, self.environment(episode=1))
        assert (agent.state["step"] != before["step"]).all()
        agent.load_state_dict(saved)
        assert (agent.state == before).all()

    def test_a_reward_that_is_not_finite_stops_its_run_alone(self) -> None:
        agent, environment = self.started(), self.environment()
        environment.reset_batch()
        agent.begin_episode()
        self.step(agent, environment)
        before = agent.state.clone()
        self.step(agent, environment, torch.tensor([0.1, float("nan"), 0.2]))
        assert list(agent.failures) == [1]
        assert "run 1" in agent.failures[1]
        assert "step 1" in agent.failures[1]
        assert agent.state["stopped"].tolist() == [False, True, False]
        assert agent.state["step"].tolist() == [2, 1, 2]
        assert agent.state["labels"][1] == before["labels"][1]
        if "belief" in agent.state:
            assert (agent.state["belief"][1] == before["belief"][1]).all()
        action = self.step(agent, environment, torch.tensor([0.1, float("inf"), 0.2]))
        assert (action[1] == 0).all()
        assert (action[[0, 2]] != 0).any(-1).all()
        assert agent.state["step"].tolist() == [3, 1, 3]

    def test_an_observation_that_is_not_finite_stops_its_run_alone(self) -> None:
        agent = self.started()
        agent.begin_episode()
        observation = torch.full((3, 4), 0.1)
        observation[2, 1] = float("inf")
        action = agent.act(observation)
        assert list(agent.failures) == [2]
        assert action.isfinite().all()
        agent.observe(observation, action, action, torch.zeros(3))
        following = action.clone()
        following[0, 0] = float("nan")
        agent.observe(action, agent.act(action), following, torch.zeros(3))
        assert sorted(agent.failures) == [0, 2]
        assert all(value.isfinite().all() for value in agent.state.values(True, True) if value.is_floating_point())

    def test_raises_when_no_run_is_left(self) -> None:
        agent = self.started([2])
        agent.begin_episode()
        observation = torch.full((4,), 0.1)
        action = agent.act(observation)
        with pytest.raises(RunStoppedError, match=r"run 0 .*step 0"):
            agent.observe(observation, action, action, float("nan"))
        with pytest.raises(RunStoppedError):
            agent.act(observation)

    def test_a_missing_reward_may_be_nan(self) -> None:
        agent = self.started()
        agent.begin_episode()
        observation = torch.full((3, 4), 0.1)
        action = agent.act(observation)
        observed, labels = torch.tensor([True, False, True]), agent.state["labels"].clone()
        agent.observe(observation, action, action, torch.tensor([0.1, float("nan"), 0.2]), observed)
        assert not agent.failures
        assert agent.state["labels"][1] == labels[1]
        assert agent.state["step"].tolist() == [1, 1, 1]

    def test_runs_left_out_stand_still(self) -> None:
        agent, environment = self.started(), self.environment()
        observation, _ = environment.reset_batch()
        agent.begin_episode()
        agent.act(observation)
        before = agent.state.clone()
        runs = torch.tensor([True, False, True])
        action = agent.act(observation, runs)
        assert (action[1] == 0).all()
        agent.observe(observation, action, action, torch.ones(3), runs=runs)
        for key, value in agent.state.items(True, True):
            assert torch.equal(value[1], before.get(key)[1]), key
        assert agent.state["step"].tolist() == [1, 0, 1]

    def test_diagnostics_are_a_number_or_more_a_run_and_change_nothing(self) -> None:
        agent, environment = self.started(), self.environment()
        run_episode(agent, environment)
        before = agent.state.clone()
        for name, value in agent.diagnostics(torch.full((3, 4), 0.1)).items():
            assert value.shape[0] == 3, name
            assert value.isfinite().all(), name
        assert (agent.state == before).all()

    def test_asked_twice_in_one_step_it_answers_the_same(self) -> None:
        agent, environment = self.started(), self.environment()
        observation, _ = environment.reset_batch()
        agent.begin_episode()
        torch.testing.assert_close(agent.act(observation), agent.act(observation), rtol=0, atol=0)

    def test_shapes_that_do_not_fit_are_refused(self) -> None:
        agent = self.started()
        observation, action, reward = torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3)
        with pytest.raises(ValueError, match="observation"):
            agent.act(torch.zeros(3, 5))
        before = agent.state.clone()
        for bad in (
            (observation[:2], action, observation, reward),
            (observation, action[:, :2], observation, reward),
            (observation, action, observation[:, :3], reward),
            (observation, action, observation, torch.zeros(3, 2)),
            (observation, action, observation, reward, torch.ones(2, dtype=torch.bool)),
        ):
            with pytest.raises(ValueError):
                agent.observe(*bad)
        assert (agent.state == before).all()

    def test_asks_for_the_labels_it_needs(self) -> None:
        agent = self.agent()
        if agent.labelled_transitions > 0:
            with pytest.raises(ValueError):
                agent.start(self.model(), SEEDS, None)
        with pytest.raises(ValueError):
            agent.start(self.model(), (), TensorDict({}, [0]))
