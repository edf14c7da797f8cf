from __future__ import annotations

from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.envs.classic_control import PendulumEnv
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Bounded, Categorical, Composite, OneHot, Unbounded
from torchrl.envs import EnvBase

import bfmkit
from bfmkit.environments.adapted import AdaptedEnvironment, adapt
from bfmkit.testing.environment import EnvironmentContract


class Line(EnvBase):
    """A point that goes by three times its action, jostled by torch's generator; past 5 it is over."""

    def __init__(self, actions: Any = None, noise: float = 0.01) -> None:
        super().__init__(batch_size=[])
        self.noise = noise
        self.observation_spec = Composite(
            place=Unbounded((2,), dtype=torch.float64), count=Unbounded((), dtype=torch.int64),
            inner=Composite(far=Unbounded((1,))),
        )  # fmt: skip
        self.action_spec = actions if actions is not None else Bounded(-1.0, 3.0, (1,), dtype=torch.float32)
        self.reward_spec = Unbounded((1,))
        self.seen: list[torch.Tensor] = []

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDict:
        self.place = torch.rand(2, dtype=torch.float64)
        return TensorDict(self._look(), [])

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        action = tensordict["action"]
        self.seen.append(action.clone())
        self.place = self.place + action.double().sum() + self.noise * torch.randn(2, dtype=torch.float64)
        over = bool(self.place[0] > 5)
        flags = {"done": torch.tensor([over]), "terminated": torch.tensor([over])}
        return TensorDict({**self._look(), "reward": self.place[:1].float(), **flags}, [])

    def _look(self) -> dict[str, Any]:
        far = self.place[:1].float() - 5
        return {"place": self.place, "count": torch.tensor(3), "inner": TensorDict({"far": far}, [])}

    def _set_seed(self, seed: int | None) -> None:
        torch.manual_seed(0 if seed is None else seed)


def line() -> Line:
    return Line()


def still() -> Line:
    return Line(noise=0.0)


class TestLine(EnvironmentContract):
    def make(self) -> AdaptedEnvironment:
        return AdaptedEnvironment(line, "line", ["own_reward"] * 3, episode_steps=9)

    def actions(self, environment: AdaptedEnvironment, steps: int, seed: int = 0) -> torch.Tensor:
        # Where one is zero nothing is over.
        return 0.1 * super().actions(environment, steps, seed) - 0.5


def test_actions_are_stretched_to_the_bounds() -> None:
    environment = AdaptedEnvironment(still, "line")
    environment.reset_batch()
    for given, taken in ((-1.0, -1.0), (0.0, 1.0), (0.5, 2.0)):
        environment.step_batch(torch.tensor([[given]]))
        torch.testing.assert_close(environment._bodies[0].environment.seen[-1], torch.tensor([taken]))


@pytest.mark.parametrize("spec", [OneHot(3), Categorical(3)])
def test_choices_are_the_largest_entry(spec: Any) -> None:
    environment = AdaptedEnvironment(lambda: Line(spec.clone()), "line")
    assert environment.spec.action_size == 3
    environment.reset_batch()
    environment.step_batch(torch.tensor([[-0.5, 0.9, 0.1]]))
    seen = environment._bodies[0].environment.seen[0]
    assert seen.tolist() == ([0, 1, 0] if isinstance(spec, OneHot) else 1)


def test_observations_are_laid_end_to_end() -> None:
    plain, chosen = (AdaptedEnvironment(still, "line", observation_keys=keys) for keys in (None, ["place", "inner"]))
    plain.seed([4]), chosen.seed([4])
    assert plain.spec.observation_names == ("count", "inner_far", "place_0", "place_1")
    assert chosen.spec.observation_names == ("place_0", "place_1", "inner_far")
    observation, physics = plain.reset_batch()
    torch.testing.assert_close(physics[:, :4].float(), observation)
    assert observation[0, 0] == 3
    torch.testing.assert_close(chosen.reset_batch()[0], observation[:, [2, 3, 1]])


def test_a_row_that_is_over_stands_still() -> None:
    environment = AdaptedEnvironment(still, "line", ["own_reward", "place_0 + 100"], episode_steps=9)
    environment.seed([0, 1])
    environment.reset_batch()
    outcomes = [environment.step_batch(torch.tensor([[1.0], [-1.0]])) for _ in range(9)]
    ends = [index for index, outcome in enumerate(outcomes) if outcome.terminated[0]]
    assert ends == list(range(ends[0], 9)) and 0 < ends[0] < 3
    for outcome in outcomes[ends[0] + 1 :]:
        assert outcome.reward[0] == 0
        assert torch.equal(outcome.observation[0], outcomes[ends[0]].observation[0])
    assert outcomes[-1].truncated.tolist() == [False, True]
    assert outcomes[-1].reward[1] > 50


def test_global_randomness_is_left_alone() -> None:
    environment = AdaptedEnvironment(line, "line")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    environment.reset_batch()
    environment.step_batch(torch.zeros(1, 1))
    assert torch.equal(torch.rand(2), expected)


def test_what_cannot_be_adapted_is_refused() -> None:
    two = Composite(left=Unbounded((1,)), right=Unbounded((1,)))
    with pytest.raises(ValueError, match="neither numbers nor choices"):
        AdaptedEnvironment(lambda: Line(Bounded(0, 4, (1,), dtype=torch.int64)), "line")
    with pytest.raises((ValueError, KeyError)):
        AdaptedEnvironment(lambda: Line(two), "line")
    with pytest.raises(ValueError, match=r'observes no "far".*inner\.far'):
        AdaptedEnvironment(line, "line", observation_keys=["far"])


def test_each_environment_of_a_batched_one_becomes_a_row() -> None:
    from torchrl.envs import SerialEnv
    from torchrl.envs.custom import PendulumEnv

    import bfmkit

    batched = SerialEnv(3, PendulumEnv)
    made = bfmkit.make_env(batched)
    assert len(made.tasks) == 3
    assert len(bfmkit.make_env(batched, num_envs=2).tasks) == 2
    made.seed([0, 1, 2])
    observation, _ = made.reset_batch()
    assert len(torch.unique(observation, dim=0)) == 3
    assert made.step_batch(torch.zeros(3, made.spec.action_size)).reward.shape == (3,)
    different = SerialEnv(2, [PendulumEnv, lambda: PendulumEnv()])
    with pytest.raises(ValueError, match="SerialEnv of different environments"):
        bfmkit.make_env(different)


def test_what_is_asked_of_one_that_is_handed_over_holds() -> None:
    pendulum = gymnasium.make("Pendulum-v1")
    made = adapt(pendulum, episode_steps=50, observation_keys=["observation"])
    assert made.spec.episode_steps == 50
    with pytest.raises(ValueError, match="nonsense"):
        adapt(pendulum, observation_keys=["nonsense"])
    with pytest.raises(TypeError, match="foo"):
        bfmkit.make_env(pendulum, foo=3)


def test_a_class_makes_environments_and_a_batch_of_them_is_refused() -> None:
    class Fixed(PendulumEnv):
        observation_space = gymnasium.spaces.Box(-9.0, 9.0, (3,))

    assert adapt(Fixed).spec.observation_size == 3
    with pytest.raises(ValueError, match="batch of environments"):
        adapt(gymnasium.make_vec("Pendulum-v1", num_envs=2))


def test_every_copy_is_closed() -> None:
    closed: list[int] = []

    class Door(PendulumEnv):
        def close(self) -> None:
            closed.append(1)

    rows = adapt(Door).with_tasks(["own_reward"] * 3)
    rows.close()
    assert len(closed) == 3


def test_a_subclass_whose_methods_a_copy_would_lose_is_refused() -> None:
    with pytest.raises(TypeError, match="Goal changes target: with_tasks and __reduce__"):

        class Goal(AdaptedEnvironment):
            def target(self, task: str) -> tuple[float, float, float]:
                return (0.0, 0.0, 0.0)
