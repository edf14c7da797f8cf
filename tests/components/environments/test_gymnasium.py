from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bfmkit.components.environments.gymnasium import GymnasiumEnvironment
from bfmkit.components.environments.torchrl import TorchRLEnvironment
from bfmkit.testing.environment import EnvironmentContract

gymnasium = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")
spaces = gymnasium.spaces


class Odd(gymnasium.Env):
    """Observes what its space says, and keeps the actions it is given; after four steps it is over."""

    def __init__(self, action: Any = None, observation: Any = None, reward: Any = 0.25) -> None:
        self.action_space = spaces.Box(-1, 1, (2,)) if action is None else action
        self.observation_space = spaces.Box(-9, 9, (3,)) if observation is None else observation
        self.reward, self.seen = reward, []

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple:
        assert self.action_space.contains(action), f"{action!r} is no action"
        self.seen.append(action)
        self.steps += 1
        return self.observation_space.sample(), self.reward, self.steps == 4, False, {}


def odd(**words: Any) -> GymnasiumEnvironment:
    gymnasium.register("bfmkit-test/Odd-v0", entry_point=Odd)
    try:
        made = GymnasiumEnvironment("bfmkit-test/Odd-v0", words, episode_steps=9)
        made.reset_batch()
        return made
    finally:
        del gymnasium.registry["bfmkit-test/Odd-v0"]


def seen(environment: GymnasiumEnvironment) -> list:
    return environment._bodies[0].environment.unwrapped.seen


class TestPendulum(EnvironmentContract):
    def make(self) -> GymnasiumEnvironment:
        return GymnasiumEnvironment("Pendulum-v1", task=["own_reward"] * 2, episode_steps=6)


class TestCartPole(EnvironmentContract):
    def make(self) -> GymnasiumEnvironment:
        return GymnasiumEnvironment("CartPole-v1", task=["own_reward"] * 2, episode_steps=12)

    def actions(self, environment: GymnasiumEnvironment, steps: int, seed: int = 0) -> torch.Tensor:
        # Left and right in turn: nothing falls.
        action = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        return action[torch.arange(steps) % 2].unsqueeze(1).repeat(1, len(environment.tasks), 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_is_what_torchrls_wrapper_makes_of_it() -> None:
    ours = GymnasiumEnvironment("Pendulum-v1", domain="pendulum")
    theirs = TorchRLEnvironment("GymEnv", {"env_name": "Pendulum-v1"}, domain="pendulum", episode_steps=200)
    assert ours.spec == theirs.spec
    assert ours.spec.episode_steps == 200, "the environment's own limit"
    for environment in (ours, theirs):
        environment.reset_batch()
    theirs._bodies[0].environment._env.unwrapped.state = ours._bodies[0].environment.unwrapped.state
    for value in (-1.0, 0.3, 1.0):
        outcomes = [environment.step_batch(torch.full((1, 1), value)) for environment in (ours, theirs)]
        torch.testing.assert_close(outcomes[0].observation, outcomes[1].observation)
        torch.testing.assert_close(outcomes[0].reward, outcomes[1].reward)


def test_half_torque_is_never_meant_by_full() -> None:
    environment = odd(action=spaces.Box(-2, 2, (2,)))
    environment.step_batch(torch.tensor([[1.0, -1.0]]))
    np.testing.assert_allclose(seen(environment)[0], [2, -2])


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (spaces.Discrete(3, start=-1), [0.1, -1.0, 0.9], 1),
        (spaces.MultiDiscrete([3, 4]), [0.1, -1, 0.9, -1, -1, 0.5, -1], [2, 2]),
        (spaces.MultiDiscrete([3, 3]), [0.1, -1, 0.9, 1, -1, -1], [2, 0]),
        (spaces.Box(np.array([0.0, -0.4]), np.array([np.inf, 0.4]), dtype=np.float64), [-1.0, 1.0], [0.0, 0.4]),
        (spaces.Box(-1, 1, ()), [0.5], 0.5),
    ],
)
def test_actions_reach_it_as_its_space_has_them(space: Any, action: list, expected: Any) -> None:
    environment = odd(action=space)
    assert environment.spec.action_size == len(action)
    environment.step_batch(torch.tensor([action]))
    np.testing.assert_allclose(seen(environment)[0], expected)


def test_tuples_whole_numbers_and_choices_are_observed() -> None:
    blackjack = GymnasiumEnvironment("Blackjack-v1")
    observation, _ = blackjack.reset_batch()
    assert observation.shape == (1, 32 + 11 + 2) and observation.sum() == 3
    whole = odd(observation=spaces.Dict(count=spaces.Box(0, 100, (2,), np.int64), held=spaces.MultiBinary(1)))
    assert whole.spec.observation_names == ("count_0", "count_1", "held")


@pytest.mark.parametrize("reward", [1, np.float64(1), np.array([1.0])])
def test_rewards_are_numbers(reward: Any) -> None:
    assert odd(reward=reward).step_batch(torch.zeros(1, 2)).reward.item() == 1


def test_termination_and_truncation_are_told_apart() -> None:
    environment = odd()
    outcomes = [environment.step_batch(torch.zeros(1, 2)) for _ in range(4)]
    assert [bool(outcome.terminated) for outcome in outcomes] == [False, False, False, True]
    assert not any(outcome.truncated for outcome in outcomes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GymnasiumEnvironment("NoSuch-v0"), "NoSuch-v0 cannot be made: NameNotFound"),
        (lambda: GymnasiumEnvironment("no_such_module:A-v0"), "ModuleNotFoundError.*folder where bfmkit is started"),
        (lambda: GymnasiumEnvironment("Pendulum-v1", {"wings": 2}), "cannot be made: TypeError"),
        (lambda: GymnasiumEnvironment("Pendulum-v1", task="own_rewart"), 'did you mean "own_reward"'),
        (lambda: GymnasiumEnvironment("Pendulum-v1", observation_keys=["speed"]), 'observes no "speed"'),
        (lambda: odd(action=spaces.MultiBinary(2)), "neither numbers nor choices"),
        (lambda: odd(observation=spaces.Text(4)), "no fixed number of numbers: it is of kind Text"),
        (lambda: odd(reward=None).step_batch(torch.zeros(1, 2)), "must give one number as reward, got None"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_choices_that_torchrl_would_shift_are_refused_there() -> None:
    gymnasium.register("bfmkit-test/Odd-v0", entry_point=Odd)
    try:
        name, shifted = "bfmkit-test/Odd-v0", spaces.Discrete(3, start=-1)
        with pytest.raises(ValueError, match="the choices of .* begin at -1.*type gymnasium keeps them"):
            TorchRLEnvironment("GymEnv", {"env_name": name, "action": shifted})
        with pytest.raises(ValueError, match="the observations of .* begin at -1.*type gymnasium keeps them"):
            TorchRLEnvironment("GymEnv", {"env_name": name, "observation": spaces.Dict(inner=spaces.Dict(a=shifted))})
    finally:
        del gymnasium.registry["bfmkit-test/Odd-v0"]
