from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import MDPLayout

DISCOUNT = 0.8


@pytest.fixture(params=[None, 3], ids=["one-hot", "random features"])
def mdp(request: pytest.FixtureRequest) -> FiniteMDP:
    return MDPLayout("random", size=4, actions=3, branching=2, dim=request.param, seed=1).build()


def every_policy(mdp: FiniteMDP) -> torch.Tensor:  # (A^S, S)
    return torch.tensor(list(product(range(mdp.actions), repeat=mdp.states)))


def walked(mdp: FiniteMDP, policy: np.ndarray) -> np.ndarray:  # (S, d)
    """ψ^π by walking from each state, until nothing that is left counts."""
    transitions, features = mdp.transitions.numpy(), mdp.features.numpy()
    sums = np.zeros((mdp.states, mdp.dim))
    for first in range(mdp.states):
        where = np.eye(mdp.states)[first]
        for step in range(200):
            where = sum(where[state] * transitions[state, policy[state]] for state in range(mdp.states))
            sums[first] += DISCOUNT**step * (where @ features)
    return sums


def test_successor_features_are_the_discounted_sum_along_the_way(mdp: FiniteMDP) -> None:
    policies = every_policy(mdp)[::20]
    exact = mdp.successor_features(policies, DISCOUNT)
    for policy, found in zip(policies, exact, strict=True):
        np.testing.assert_allclose(found.numpy(), walked(mdp, policy.numpy()), atol=1e-10)


def test_no_policy_is_better_in_any_state(mdp: FiniteMDP) -> None:
    weights = torch.randn(2, 5, mdp.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    best = mdp.optimal_policy(weights, DISCOUNT)
    assert best.shape == (2, 5, mdp.states)
    value = (mdp.successor_features(best, DISCOUNT) @ weights.unsqueeze(-1)).squeeze(-1)
    all_values = torch.einsum("psd,bwd->bwps", mdp.successor_features(every_policy(mdp), DISCOUNT), weights)
    torch.testing.assert_close(value, all_values.amax(2), rtol=0, atol=1e-9)
    assert len(best.flatten(0, 1).unique(dim=0)) > 1


def test_policy_does_not_depend_on_the_rewards_scale(mdp: FiniteMDP) -> None:
    weights = torch.randn(6, mdp.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = mdp.optimal_policy(weights, DISCOUNT)
    for scale in (1e-12, 1e9):
        assert torch.equal(mdp.optimal_policy(scale * weights, DISCOUNT), expected)


def test_no_reward_ends_too(mdp: FiniteMDP) -> None:
    assert mdp.optimal_policy(torch.zeros(mdp.dim), 0.999).shape == (mdp.states,)


@pytest.mark.parametrize("discount", [0.0, 0.99])
def test_equally_good_ways_end_too(discount: float) -> None:
    mdp = MDPLayout("grid", size=5).build()
    policies = mdp.optimal_policy(torch.eye(25), discount)
    states = torch.arange(25)
    following = mdp.transitions[states, policies.diagonal()].argmax(-1)
    assert torch.equal(following, states)  # there already: staying, or into the wall


def test_spec_tells_mdps_apart() -> None:
    one, same, other = (MDPLayout("random", size=6, seed=seed).build().spec(10) for seed in (0, 0, 1))
    assert one == same
    one.require_compatible(same, "it")
    with pytest.raises(ValueError, match="tabular_"):
        one.require_compatible(other, "a model")


def test_parts_that_do_not_fit_are_refused() -> None:
    good = MDPLayout("random", size=4).build()
    for wrong, message in (
        ({"features": good.features[1:]}, "do not fit"),
        ({"start": good.start * 2}, "start must be probabilities"),
        ({"transitions": good.transitions - 0.1}, "transitions must be probabilities"),
        ({"tasks": {"goal": torch.ones(9)}}, "task 'goal'"),
    ):
        parts = {name: getattr(good, name) for name in ("transitions", "features", "start", "tasks")}
        with pytest.raises(ValueError, match=message):
            FiniteMDP(**(parts | wrong))
