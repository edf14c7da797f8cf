from __future__ import annotations

import torch
from torch import nn

from bfmkit.training.actor_critic_losses import (
    frozen_call,
    orthonormality_loss,
    pessimistic,
    policy_value,
    with_clipped_noise,
)


def test_half_a_pessimism_of_two_is_the_minimum() -> None:
    values = torch.randn(2, 9, dtype=torch.float64)
    torch.testing.assert_close(pessimistic(values, 0.5), values.min(0).values)
    three = torch.tensor([[0.0], [1.0], [5.0]])
    # Pairs differ by 1, 5 and 4: mean 10/3; the mean value is 2.
    torch.testing.assert_close(pessimistic(three, 1.0), torch.tensor([2 - 10 / 3]))


def test_the_value_of_a_policy_is_pessimistic_about_products() -> None:
    successor, z = torch.randn(5, 2, 3), torch.randn(5, 3)
    expected = torch.stack([successor[:, e] @ z.mT for e in range(2)]).diagonal(dim1=1, dim2=2).min(0).values
    torch.testing.assert_close(policy_value(successor, z, 0.5), expected)


def test_orthonormality_is_the_distance_to_the_identity() -> None:
    features = torch.randn(4000, 3, dtype=torch.float64)
    moment = features.mT @ features / 4000
    # Over pairs of different rows the squares of a moment are estimated without bias.
    expected = (moment - torch.eye(3, dtype=torch.float64)).square().sum() - 3
    torch.testing.assert_close(sum(orthonormality_loss(features)), expected, rtol=0, atol=0.02)
    off_diagonal, diagonal = orthonormality_loss(features[:2])
    torch.testing.assert_close(off_diagonal, (features[0] @ features[1]) ** 2)
    torch.testing.assert_close(diagonal, -features[:2].square().sum())


def test_noise_is_clipped_and_lets_gradients_through() -> None:
    torch.manual_seed(0)
    action = torch.full((1000, 1), 0.9, requires_grad=True)
    noisy = with_clipped_noise(action, 0.2, 0.3)
    assert noisy.max() == 1
    assert noisy.min() >= 0.6 - 1e-6
    noisy.sum().backward()
    assert (action.grad == 1).all()


def test_a_frozen_call_differentiates_inputs_alone() -> None:
    network, x = nn.Linear(2, 2), torch.randn(3, 2, requires_grad=True)
    frozen_call(network, x).sum().backward()
    assert network.weight.grad is None
    torch.testing.assert_close(x.grad, network.weight.sum(0).expand(3, 2))
