from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dm_control.utils.rewards import tolerance

from bfmkit.components.latent_samplers.mixture import MixtureLatents
from bfmkit.components.latent_samplers.random_rewards import RandomRewardLatents
from bfmkit.components.latent_samplers.sphere import SphereLatents
from bfmkit.interfaces import LatentContext
from bfmkit.models.layers import project
from bfmkit.testing.latent_sampler import LatentSamplerContract
from bfmkit.testing.objective import SPEC

NAMES = ("height", "speed", "lean", "spin", "other")
NAMED = replace(SPEC, observation_size=5, observation_names=NAMES)


class TestRandomRewardLatents(LatentSamplerContract):
    def make(self) -> RandomRewardLatents:
        return RandomRewardLatents(NAMED, ["height", "speed"], linear=0.2, network=0.2)


def draw(rows: int = 400, **settings: object) -> tuple[torch.Tensor, torch.Tensor]:
    """States (N, 5) and the values there of N rewards (N, N)."""
    torch.manual_seed(0)
    x = torch.randn(rows, 5)
    return x, RandomRewardLatents(NAMED, **{"entries": ["height", "speed"], **settings}).rewards(x)


def test_z_of_a_reward_are_the_weights_of_its_regression() -> None:
    torch.manual_seed(0)
    features, weights = torch.randn(3000, 8), torch.randn(4, 8)
    context = LatentContext(features, lambda: features, features, project)
    torch.testing.assert_close(context.regress(features @ weights.mT), project(weights), atol=0.02, rtol=0)


def test_a_reward_that_lies_beyond_the_features_gets_its_least_squares_weights() -> None:
    torch.manual_seed(0)
    x = torch.randn(5000, 1)
    features = torch.cat([x, torch.ones_like(x)], dim=-1)
    reward = torch.exp(-x.square())
    expected = torch.linalg.lstsq(features, reward).solution.mT
    context = LatentContext(x, lambda: features, features, project)
    torch.testing.assert_close(context.regress(reward), project(expected), atol=0.02, rtol=0)


def test_products_are_tolerances_around_states_that_there_are() -> None:
    x, rewards = draw(entries=["height"], include=1.0, directions=[1.0, 0.0, 0.0], margins=[0.5, 0.5])
    for column in range(10):
        full = rewards[:, column] == 1
        bound = x[full, 0].min()
        assert bound in x[:, 0]
        expected = tolerance(x[:, 0].double().numpy(), bounds=(bound.item(), np.inf), margin=0.5)
        np.testing.assert_allclose(rewards[:, column].numpy(), expected, atol=2e-3)


@pytest.mark.parametrize(("directions", "sign"), [([1.0, 0.0, 0.0], 1), ([0.0, 1.0, 0.0], -1), ([0.0, 0.0, 1.0], 0)])
def test_directions_are_above_below_and_near(directions: list[float], sign: int) -> None:
    x, rewards = draw(entries=["speed"], directions=directions)
    slope = (x[:, 1:2] * (rewards - rewards.mean(0))).mean(0)
    if sign:
        assert (sign * slope >= -1e-6).all()
    else:
        # One state has the threshold itself, and the reward falls on both sides of it.
        assert (rewards.max(0).values > 1 - 1e-6).all()
        assert slope.mean().abs() < 0.05


def test_rewards_read_the_named_entries_alone() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 5)
    sampler = RandomRewardLatents(NAMED, ["lean", "height"], linear=0.3, network=0.3)
    other = x.clone()
    other[:, [1, 3, 4]] += 1
    torch.manual_seed(1)
    first = sampler.rewards(x)
    torch.manual_seed(1)
    assert torch.equal(first, sampler.rewards(other))


def test_every_product_has_a_factor() -> None:
    _, rewards = draw(include=1e-6)
    assert (rewards.std(0) > 0).all()


def test_kinds_have_their_shares() -> None:
    _, rewards = draw(rows=2000, linear=0.25, network=0.25)
    products = ((rewards >= 0) & (rewards <= 1)).all(0).float().mean().item()
    assert products == pytest.approx(0.5, abs=0.04)


def test_refuses_what_makes_no_sense() -> None:
    for settings, message in (
        ({"entries": []}, "need entries"),
        ({"entries": ["hight"]}, 'no entry "hight"; did you mean "height"'),
        ({"include": 0.0}, "include"),
        ({"directions": [0.5, 0.5]}, "directions"),
        ({"directions": [0.5, 0.6, -0.1]}, "directions"),
        ({"margins": [2.0, 1.0]}, "margins"),
        ({"linear": 0.7, "network": 0.7}, "shares"),
        ({"clip": 0.0}, "clip"),
    ):
        with pytest.raises(ValueError, match=message):
            draw(**settings)


def test_rewards_are_drawn_for_pictures() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 5)
    sampler = RandomRewardLatents(NAMED, ["lean", "height"])
    mixture = MixtureLatents([SphereLatents(), sampler], [1.0, 1.0])
    torch.manual_seed(1)
    drawn = mixture.draw_rewards(x)
    torch.manual_seed(1)
    assert torch.equal(drawn.rewards, sampler.rewards(x))
    assert list(drawn.entries) == ["lean", "height"]
    assert torch.equal(drawn.entries["height"], x[:, NAMED.entries(["height"])[0]])
    assert MixtureLatents([SphereLatents()], [1.0]).draw_rewards(x) is None
