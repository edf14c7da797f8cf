from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch
from dm_control import suite

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.environments.domains.suite import BODIES
from bfmkit.testing.environment import EnvironmentContract

SIZES = {
    "acrobot": (6, 1, 4), "ball_in_cup": (8, 2, 8), "cartpole": (5, 1, 4), "finger": (9, 2, 6), "fish": (21, 5, 27),
    "hopper": (15, 4, 14), "humanoid": (67, 21, 55), "humanoid_CMU": (137, 56, 125), "pendulum": (3, 1, 2),
    "point_mass": (4, 2, 4),
}  # fmt: skip


class TestHopper(EnvironmentContract):
    def make(self) -> DMControlEnvironment:
        return DMControlEnvironment("hopper", "stand+hop", episode_steps=7)


def model_after_start(environment: suite, seed: int) -> bytes:
    environment.task._random = np.random.RandomState(seed)
    environment.reset()
    model = environment.physics.model.ptr
    compiled = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, compiled)
    return compiled.tobytes()


@pytest.mark.parametrize("domain", BODIES)
def test_starts_observes_and_rewards_as_the_suite_does(domain: str) -> None:
    tasks = BODIES[domain]
    ours = DMControlEnvironment(domain, list(tasks))
    assert (ours.spec.observation_size, ours.spec.action_size, ours.spec.physics_size) == SIZES[domain]
    assert ours.spec.episode_steps == 1000
    ours.seed(range(len(tasks)))
    observation, _ = ours.reset_batch()
    theirs = [suite.load(domain, task) for task in tasks]
    for row, environment in enumerate(theirs):
        words = np.random.SeedSequence((row, 0)).generate_state(4)
        environment.task._random = np.random.RandomState(words)
        first = environment.reset().observation
        np.testing.assert_allclose(np.concatenate([np.ravel(part) for part in first.values()]), observation[row], 1e-5)
    torch.manual_seed(0)
    for _ in range(5):
        action = torch.rand(len(tasks), ours.spec.action_size) * 2 - 1
        outcome = ours.step_batch(action)
        rewards = [
            environment.step(ours._controls(action, len(tasks))[row]).reward for row, environment in enumerate(theirs)
        ]
        np.testing.assert_allclose(outcome.reward, rewards, rtol=1e-5, atol=1e-6)
    # The recorded state and the control say the same, also long after.
    quantities = ours.quantities(outcome.physics, action)
    for row, task in enumerate(tasks):
        np.testing.assert_allclose(ours.reward_of(task)(quantities)[row], rewards[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("domain", "task"),
    [("reacher", "easy"), ("swimmer", "swimmer6"), ("finger", "turn_easy"), ("fish", "swim"), ("point_mass", "hard")],
)
def test_bodies_whose_target_is_drawn_into_the_model_are_refused(domain: str, task: str) -> None:
    environment = suite.load(domain, task)
    assert model_after_start(environment, 0) != model_after_start(environment, 1)
    with pytest.raises(ValueError, match=f'domain "{domain}".*DMControlEnv|has no task "{task}"|"{task}"'):
        DMControlEnvironment(domain, task)


def test_rewards_may_be_typed_over_the_suites(tmp_path: object) -> None:
    typed = DMControlEnvironment("hopper", reward="0.5 * reward_stand + 0.5 * tolerance(velocity_0, 1, 2, margin=1)")
    typed.reset_batch()
    assert 0 <= float(typed.step_batch(torch.zeros(1, 4)).reward[0]) <= 1
