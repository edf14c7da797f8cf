from __future__ import annotations

import sys

import pytest
import torch

from bfmkit.components.environments.torchrl import TorchRLEnvironment
from bfmkit.testing.environment import EnvironmentContract

PENDULUM = {"name": "PendulumEnv", "observation_keys": ["th", "thdot"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
class TestPendulum(EnvironmentContract):
    def make(self) -> TorchRLEnvironment:
        return TorchRLEnvironment(**PENDULUM, task=["own_reward"] * 2, episode_steps=6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_walker_is_the_walker_we_know() -> None:
    """The same body through TorchRL's wrapper: the same observations and rewards for the same start and actions."""
    from bfmkit.components.environments.dm_control import DMControlEnvironment

    arguments, keys = {"env_name": "walker", "task_name": "walk"}, ["orientations", "height", "velocity"]
    made = TorchRLEnvironment("DMControlEnv", arguments, episode_steps=20, observation_keys=keys)
    assert (made.spec.observation_size, made.spec.action_size) == (24, 6)
    made.reset_batch()
    ours = DMControlEnvironment("walker", "walk", episode_steps=20)
    ours.reset_batch()
    with torch.no_grad():
        state = made._bodies[0].environment._env.physics.get_state()
        ours._physics[0].set_state(state)
        ours._physics[0].after_reset()
    torch.manual_seed(0)
    for _ in range(10):
        action = torch.rand(1, 6) * 2 - 1
        found, expected = made.step_batch(action), ours.step_batch(action)
        torch.testing.assert_close(found.observation, expected.observation, rtol=0, atol=1e-4)
        torch.testing.assert_close(found.reward, expected.reward, rtol=0, atol=1e-4)


def test_without_gymnasium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gymnasium", "gym"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"GymEnv\(env_name=Pendulum-v1\) needs Gymnasium: pip install gymnasium"):
        TorchRLEnvironment("GymEnv", {"env_name": "Pendulum-v1"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "PendulumEnvv"}, 'did you mean "PendulumEnv"'),
        ({"name": "system"}, "no environment"),
        ({"name": "PendulumEnv", "arguments": {"wings": 2}}, "cannot be made: TypeError"),
        ({**PENDULUM, "observation_keys": ["th", "height"]}, 'observes no "height"'),
        ({**PENDULUM, "episode_steps": 0}, "episode_steps must be at least 1"),
        ({**PENDULUM, "task": "own_rewart"}, 'did you mean "own_reward"'),
        ({**PENDULUM, "reward": "observation_7"}, "observation_7"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_cannot_be_made_is_refused(words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TorchRLEnvironment(**words)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_typed_reward_is_a_row_of_its_own() -> None:
    environment = TorchRLEnvironment(**PENDULUM, reward="thdot - 2 * action_0", episode_steps=5)
    environment.reset_batch()
    outcome = environment.step_batch(torch.tensor([[0.5]]))
    torch.testing.assert_close(outcome.reward, outcome.observation[:, 1] - 1.0)
