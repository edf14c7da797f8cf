from __future__ import annotations

import torch
from torchrl.envs import SerialEnv, TransformedEnv
from torchrl.envs.utils import check_env_specs

from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.environments.single import SingleEnvironment
from bfmkit.inference.torchrl_transform import TaskInferenceTransform
from bfmkit.testing.models import BallEnvironment, LinearBFM


def single(length: int = 5) -> SingleEnvironment:
    return SingleEnvironment(BallEnvironment(tasks=["task_0"], lengths=[length]))


def test_a_row_of_one_has_no_batch_dimension() -> None:
    environment = single()
    check_env_specs(environment)
    assert environment.reset().batch_size == ()
    assert environment.rollout(3).batch_size == (3,)
    assert SerialEnv(2, single).reset().batch_size == (2,)


def test_it_is_the_row_that_it_is_made_of_and_agents_learn_in_it() -> None:
    from bfmkit.components.acquisitions.greedy import GreedyAcquisition

    agent = TaskInferenceAgent(RidgePosterior(), GreedyAcquisition())
    agent.start(LinearBFM(), [3])
    environment = TransformedEnv(single(), TaskInferenceTransform(agent))
    environment.set_seed(7)
    rollout = environment.rollout(5, LinearBFM())
    ours = BallEnvironment(tasks=["task_0"])
    ours.seed([7])
    assert torch.equal(rollout["observation"][0], ours.reset_batch()[0][0])
    for step in range(5):
        outcome = ours.step_batch(rollout["action"][step].unsqueeze(0))
        assert torch.equal(rollout["next", "observation"][step], outcome.observation[0])
        assert torch.equal(rollout["next", "reward"][step], outcome.reward)
    agent.flush()
    assert agent.state["labels"].tolist() == [5]
