from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.rules import RULES
from bfmkit.regret.simulate import Runs, simulate
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.policy_pool import PolicyPool
from bfmkit.utils.rng import generator

BOUND = RegretBound(dim=2, horizon=3, discount=0.9, regularization=1.0, weight_norm=4.0, delta=0.1, factor=2.0)
MDP = MDPLayout("random", size=6, actions=3, branching=2, dim=2, seed=2).build()
ANGLES = 2 * torch.pi * torch.arange(6, dtype=torch.float64) / 6
POOL = PolicyPool.solve(MDP, torch.stack((ANGLES.cos(), ANGLES.sin()), 1), 3, 0.9)


def played(rule: str, seeds: range = range(4), episodes: int = 40, bound: RegretBound = BOUND) -> Runs:
    bound = dataclasses.replace(bound, returns_only=RULES[rule].returns_only)
    return simulate(MDP, POOL, RidgePosterior(bound.regularization), RULES[rule], bound, seeds, episodes)


def test_no_rule_gains_on_the_best_policy() -> None:
    for rule in RULES:
        assert played(rule, episodes=12).regret.min() >= 0, rule


def test_random_loses_on_and_on_and_the_others_learn() -> None:
    floor = played("random").regret[:, 20:].sum()
    assert floor > 20
    for rule, share in (("ucb", 0.7), ("ucb_each_step", 0.7), ("thompson", 0.3), ("greedy", 0.3)):
        regret = played(rule).regret
        assert regret[:, 20:].sum() < share * floor, rule
        assert regret[:, 0].sum() > 0, rule


def test_the_first_optimistic_choice_is_the_widest_policy() -> None:
    """Before any label ŵ = 0 and V = λI."""
    table = POOL.start_features.numpy()
    weights = 4.0 * POOL.directions[int(generator(7, "regret task", 0).integers(6))].numpy()
    first = int(np.linalg.norm(table, axis=1).argmax())
    expected = (table @ weights).max() - table[first] @ weights
    assert played("ucb", range(7, 8)).regret[0, 0] == pytest.approx(expected)


def test_a_run_is_the_same_alone_and_in_a_batch() -> None:
    together = played("thompson", range(3, 6))
    alone = played("thompson", range(4, 5))
    np.testing.assert_allclose(alone.regret[0], together.regret[1], atol=1e-12)


def test_switching_rarely_chooses_less_often_than_the_determinant_allows() -> None:
    found = played("rarely_switching", episodes=60)
    most = 1 + BOUND.information(np.array([60]))[0] / np.log(BOUND.factor)
    assert found.choices.max() <= most
    assert found.choices.min() >= 2
    assert played("ucb", episodes=60).choices.min() == 60
    assert played("ucb_each_step", episodes=5).choices.min() == 15


def test_the_confidence_set_holds_the_weights_and_says_when_it_does_not() -> None:
    assert played("ucb").inside.all()
    # Weights four times as long as the radius believes.
    short = dataclasses.replace(BOUND, weight_norm=0.5, regularization=50.0)
    wrong = simulate(
        MDP,
        dataclasses.replace(POOL, directions=40 * POOL.directions),
        RidgePosterior(50.0),
        RULES["ucb"],
        short,
        range(4),
        3,
    )
    assert not wrong.inside.any()


@pytest.mark.parametrize("rule", ["ucb", "rarely_switching", "ucb_returns"])
def test_regret_stays_under_the_bound(rule: str) -> None:
    bound = dataclasses.replace(
        BOUND, factor=2.0 if RULES[rule].schedule == "determinant" else 1.0, returns_only=RULES[rule].returns_only
    )
    total = played(rule, bound=bound).regret.cumsum(1)
    assert (total <= bound.regret(np.arange(1, 41))).all()
