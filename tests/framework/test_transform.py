from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torchrl.envs import TransformedEnv
from torchrl.envs.utils import check_env_specs

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidates.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.loop import run_episode
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.transform import TaskInferenceTransform

TASKS, SEEDS = ["task_0", "task_3"], [3, 4]


def started() -> TaskInferenceAgent:
    candidates = EllipsoidCandidates(count=16, include_previous=True)
    agent = TaskInferenceAgent(RidgePosterior(discount=0.99), UCBAcquisition(candidates), EverySchedule(steps=2))
    agent.start(LinearBFM(), SEEDS)
    return agent


def test_learns_in_a_rollout_what_the_online_loop_learns() -> None:
    inside, outside = started(), started()
    base, alone = BallEnvironment(tasks=TASKS), BallEnvironment(tasks=TASKS)
    base.seed_rows(SEEDS)
    alone.seed_rows(SEEDS)
    environment = TransformedEnv(base, TaskInferenceTransform(inside))
    for _ in range(3):
        latents = []
        run_episode(outside, alone, lambda step, seen=latents: seen.append(step.z.clone()))
        rollout = environment.rollout(20, LinearBFM())
        torch.testing.assert_close(rollout["z"], torch.stack(latents, 1), rtol=0, atol=0)
    assert (inside.state == outside.state).all()
    assert inside.state["labels"].tolist() == [60, 60]


def test_passes_torchrls_own_check() -> None:
    check_env_specs(TransformedEnv(BallEnvironment(tasks=TASKS), TaskInferenceTransform(started())))


def test_a_reset_of_some_rows_opens_an_episode_in_them_alone() -> None:
    agent = started()
    transform = TaskInferenceTransform(agent)
    observation = torch.zeros(2, 4)
    transform._reset(None, TensorDict({"observation": observation}, [2]))
    assert not agent.state["opens_episode"].any()
    before = agent.state["z"].clone()
    agent.observe(observation, observation, observation, torch.zeros(2))
    asked = TensorDict({"_reset": torch.tensor([[False], [True]])}, [2])
    z = transform._reset(asked, TensorDict({"observation": observation}, [2]))["z"]
    assert torch.equal(z[0], before[0])
    assert agent.state["steps_since_choice"].tolist() == [1, 0]


def test_refuses_recorded_data() -> None:
    with pytest.raises(RuntimeError, match="environment"):
        TaskInferenceTransform(started())(TensorDict({"observation": torch.zeros(2, 4)}, [2]))
