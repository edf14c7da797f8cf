from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.policy_pool import PolicyPool

HORIZON, DISCOUNT = 2, 0.7


@pytest.fixture(scope="module")
def mdp() -> FiniteMDP:
    return MDPLayout("random", size=3, actions=2, branching=2, dim=2, seed=5).build()


@pytest.fixture(scope="module")
def pool(mdp: FiniteMDP) -> PolicyPool:
    directions = torch.tensor([[1.0, 0.0], [-0.6, 0.8], [0.0, -1.0]], dtype=torch.float64)
    return PolicyPool.solve(mdp, directions, HORIZON, DISCOUNT)


def walked(mdp: FiniteMDP, actions: np.ndarray) -> np.ndarray:  # (H, S) -> (S, d)
    """ψ_0 from each state, walked forwards."""
    transitions, features = mdp.transitions.numpy(), mdp.features.numpy()
    sums = np.zeros((mdp.states, mdp.dim))
    for first in range(mdp.states):
        where = np.eye(mdp.states)[first]
        for step in range(len(actions)):
            where = sum(where[state] * transitions[state, actions[step, state]] for state in range(mdp.states))
            sums[first] += DISCOUNT**step * (where @ features)
    return sums


def test_successor_features_are_the_discounted_sum_along_the_way(mdp: FiniteMDP, pool: PolicyPool) -> None:
    for policy in range(3):
        expected = walked(mdp, pool.actions[:, policy].numpy())
        np.testing.assert_allclose(pool.successor_features[0, :, policy].numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(pool.start_features[policy].numpy(), mdp.start.numpy() @ expected, atol=1e-12)


def test_no_policy_does_better_on_its_direction_from_any_state(mdp: FiniteMDP, pool: PolicyPool) -> None:
    every = list(product(range(mdp.actions), repeat=HORIZON * mdp.states))
    values = np.stack([walked(mdp, np.array(table).reshape(HORIZON, -1)) for table in every])  # (n, S, d)
    for policy, direction in enumerate(pool.directions.numpy()):
        best = (values @ direction).max(0)
        np.testing.assert_allclose(pool.successor_features[0, :, policy].numpy() @ direction, best, atol=1e-12)


def test_gaps_add_up_to_what_a_policy_loses(mdp: FiniteMDP, pool: PolicyPool) -> None:
    """The performance difference lemma: expected gaps along policy 1, for task 0."""
    where, lost = mdp.start.clone(), 0.0
    for step in range(HORIZON):
        action = pool.actions[step, 1]
        rows = torch.arange(mdp.states)
        lost += DISCOUNT**step * float(where @ pool.gaps[step, 0, rows, action])
        where = where @ mdp.transitions[rows, action]
    values = pool.start_features @ pool.directions[0]
    assert lost == pytest.approx(float(values[0] - values[1]), abs=1e-12)
    assert lost > 0.01
