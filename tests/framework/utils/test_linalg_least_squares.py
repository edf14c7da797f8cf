from __future__ import annotations

import torch

from bfmkit.utils.linalg import least_squares_weights, ridged_inverse, second_moment


def test_finds_the_weights_that_made_the_rewards() -> None:
    torch.manual_seed(0)
    features, weights = torch.randn(300, 5), torch.randn(2, 5, dtype=torch.float64)
    found = least_squares_weights(features, features.double() @ weights.mT)
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-5)


def test_agrees_with_lstsq_on_rewards_with_noise() -> None:
    torch.manual_seed(1)
    features, rewards = torch.randn(300, 5), torch.randn(300, 3)
    expected = torch.linalg.lstsq(features.double(), rewards.double()).solution.mT
    torch.testing.assert_close(least_squares_weights(features, rewards), expected, rtol=1e-4, atol=1e-5)


def test_features_that_say_the_same_thing_are_no_trouble() -> None:
    one = torch.randn(100, 1)
    weights = least_squares_weights(torch.cat([one, one], 1), 3 * one)
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(), torch.tensor(3.0, dtype=torch.float64), rtol=1e-4, atol=0)


def test_the_ridge_is_relative() -> None:
    features = torch.randn(200, 4)
    inverses = [ridged_inverse(second_moment(scale * features), 1e-3) * scale**2 for scale in (1e-3, 1.0, 1e3)]
    torch.testing.assert_close(inverses[0], inverses[1], rtol=1e-4, atol=0)
    torch.testing.assert_close(inverses[2], inverses[1], rtol=1e-4, atol=0)
