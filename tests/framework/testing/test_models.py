from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import FeatureMap
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.environment import EnvironmentContract
from bfmkit.testing.feature_map import FeatureMapContract
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.posterior import PosteriorContract
from bfmkit.testing.posteriors import KnownPosterior


class TestLinearBFM(BFMContract):
    def make(self) -> LinearBFM:
        return LinearBFM()

    def test_successor_features_are_those_of_a_rollout(self) -> None:
        bfm = LinearBFM(discount=0.5)
        environment = BallEnvironment(episode_steps=60)
        observation, _ = environment.reset_batch()
        z = bfm.policy_latent(torch.tensor([[1.0, 2.0, -1.0, 0.5]]))
        action = torch.tensor([[0.9, -0.9, 0.3, 0.0]])
        total, weight, act = torch.zeros(1, 4), 1.0, action
        for _ in range(60):
            after = environment.step_batch(act).observation
            total, weight, act = total + weight * after, 0.5 * weight, bfm.act(after, z)
        torch.testing.assert_close(bfm.successor_features(observation, z, action)[:, 0], total, rtol=1e-5, atol=1e-5)


class Squares(FeatureMap):
    dim = 5

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return next_observation.square()


class TestSquares(FeatureMapContract):
    def make(self) -> Squares:
        return Squares()


class TestBallEnvironment(EnvironmentContract):
    def make(self) -> BallEnvironment:
        return BallEnvironment(tasks=["task_0", "task_1"], episode_steps=5)


def test_rewards_can_be_computed_again() -> None:
    environment = BallEnvironment(tasks=["task_2"])
    environment.reset_batch()
    action = torch.tensor([[0.3, 0.1, -0.7, 0.2]])
    outcome = environment.step_batch(action)
    torch.testing.assert_close(environment.relabel(outcome.physics, action, "task_2"), outcome.reward)


def test_a_contract_fails_what_breaks_it() -> None:
    class Leaky(KnownPosterior):
        def update(self, belief, features, reward, observed):
            belief["count"] += 1.0
            return belief

    class Contract(PosteriorContract):
        def make(self) -> Leaky:
            return Leaky()

        def exact_mean(self, features: Tensor, rewards: Tensor) -> Tensor:
            return torch.zeros(features.shape[-1], dtype=torch.float64)

    with pytest.raises(AssertionError):
        Contract().test_update_leaves_its_argument_as_it_was()


def test_a_better_policy_gets_more() -> None:
    from bfmkit.components.agents.oracle import OracleAgent
    from bfmkit.components.agents.random import RandomAgent
    from bfmkit.environments.labels import labelled_transitions

    returns = []
    for agent in (OracleAgent(), RandomAgent()):
        agent.start(LinearBFM(), [0], labelled_transitions(LinearBFM(), BallEnvironment(), ["task_0"], 64))
        returns.append(float(run_episode(agent, BallEnvironment()).returns))
    assert returns[0] > 19.9 > returns[1]
