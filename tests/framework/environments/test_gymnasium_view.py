from __future__ import annotations

import numpy as np
import pytest
import torch

gymnasium = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from bfmkit.components.environments.dm_control import DMControlEnvironment  # noqa: E402
from bfmkit.components.environments.gymnasium import GymnasiumEnvironment  # noqa: E402
from bfmkit.environments.gymnasium_view import GymnasiumView  # noqa: E402
from bfmkit.testing.models import BallEnvironment  # noqa: E402


@pytest.mark.filterwarnings("ignore:.*Box observation space.*", "ignore:.*render_modes.*")
@pytest.mark.parametrize("name", ["bfmkit/walker-run-v0", "bfmkit/point-mass-maze-reach-top-left-v0"])
def test_gymnasium_makes_and_checks_ours(name: str) -> None:
    check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


def test_it_is_the_environment_that_we_have() -> None:
    view = gymnasium.make("bfmkit/walker-run-v0", episode_steps=5)
    ours = DMControlEnvironment("walker", "run", episode_steps=5)
    ours.seed([7])
    observation, info = view.reset(seed=7)
    expected, physics = ours.reset_batch()
    np.testing.assert_array_equal(observation, expected[0])
    np.testing.assert_array_equal(info["physics"], physics[0])
    for index in range(5):
        action = view.action_space.sample()
        observation, reward, terminated, truncated, _ = view.step(action)
        outcome = ours.step_batch(torch.from_numpy(action).unsqueeze(0))
        np.testing.assert_array_equal(observation, outcome.observation[0])
        assert reward == outcome.reward.item()
        assert (terminated, truncated) == (False, index == 4)
    np.testing.assert_array_equal(view.reset()[0], ours.reset_batch()[0][0])


def test_it_vectorises_and_may_be_adapted_again() -> None:
    together = gymnasium.make_vec("bfmkit/walker-run-v0", num_envs=2, vectorization_mode="sync", vector_kwargs={})
    observation, _ = together.reset(seed=3)
    assert observation.shape == (2, 24)
    again = GymnasiumEnvironment("bfmkit/walker-run-v0", {"episode_steps": 4})
    assert (again.spec.observation_size, again.spec.action_size) == (24, 6)


def test_it_is_drawn_without_a_screen() -> None:
    view = gymnasium.make("bfmkit/walker-run-v0", render_mode="rgb_array")
    view.reset(seed=0)
    first = view.render()
    view.step(view.action_space.sample())
    assert first.shape == (240, 320, 3) and first.std() > 0 and (view.render() != first).any()


def test_gymnasium_collects_its_pictures() -> None:
    view = gymnasium.make("bfmkit/cheetah-run-v0", render_mode="rgb_array", episode_steps=5)
    collecting = gymnasium.wrappers.RenderCollection(view)
    collecting.reset(seed=0)
    while not any(collecting.step(collecting.action_space.sample())[2:4]):
        pass
    assert len(collecting.render()) == 6


def test_what_has_no_looks_and_other_ways_to_draw_are_refused() -> None:
    view = GymnasiumView(BallEnvironment(), render_mode="rgb_array")
    view.reset(seed=0)
    with pytest.raises(ValueError, match="ball cannot be drawn"):
        view.render()
    with pytest.raises(ValueError, match="rgb_array"):
        GymnasiumView(BallEnvironment(), render_mode="human")
