from __future__ import annotations

import pytest
import torch

from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.stationary_pool import StationaryPool

LAYOUT = MDPLayout("random", size=6, dim=3, actions=3, branching=2, slip=0.2)
DIRECTIONS = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0.0], [0.0, -1.0, 0.5]]).double(), dim=-1)


def test_averages_and_biases_are_those_of_a_long_walk() -> None:
    mdp = LAYOUT.build()
    pool = StationaryPool.solve(mdp, DIRECTIONS)
    for policy in range(2):
        moves = mdp.transitions[torch.arange(6), pool.actions[policy]]
        average, bias = torch.zeros(6, 3).double(), torch.zeros(6, 3).double()
        occupied = torch.eye(6).double()
        for _ in range(2000):
            occupied = occupied @ moves
            bias += occupied @ mdp.features - pool.gains[policy]
        average = occupied @ mdp.features
        torch.testing.assert_close(average, pool.gains[policy].expand(6, 3))
        torch.testing.assert_close(occupied, pool.occupancy[policy].expand(6, 6))
        torch.testing.assert_close(bias, pool.biases[policy])


def test_the_poisson_equation_holds() -> None:
    mdp = LAYOUT.build()
    pool = StationaryPool.solve(mdp, DIRECTIONS)
    moves = mdp.transitions[torch.arange(6), pool.actions]
    torch.testing.assert_close(
        pool.gains.unsqueeze(1) + pool.biases, moves @ (mdp.features + pool.biases), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(torch.einsum("ps,psd->pd", pool.occupancy, pool.biases), torch.zeros(2, 3).double())


def test_spans_are_the_largest_differences() -> None:
    pool = StationaryPool.solve(LAYOUT.build(), DIRECTIONS)
    pairs = pool.biases.unsqueeze(2) - pool.biases.unsqueeze(1)
    assert pool.feature_span == pytest.approx(float(pairs.norm(dim=-1).max()))
    weights = torch.tensor([[1.0, 2.0, 3.0]]).double()
    assert float(pool.value_span(weights)) == pytest.approx(float((pairs @ weights[0]).max()))
    assert float(pool.value_span(weights)) <= float(weights.norm()) * pool.feature_span


def test_refuses_policies_whose_average_depends_on_the_start() -> None:
    # Two states, each of which leads to itself.
    mdp = FiniteMDP(torch.eye(2).double().unsqueeze(1), torch.eye(2).double(), torch.ones(2).double() / 2, {})
    with pytest.raises(ValueError, match="slip"):
        StationaryPool.solve(mdp, torch.eye(2).double())
