from __future__ import annotations

from itertools import product

import pytest
import torch

from bfmkit.components.bfms.tabular import TabularBFM
from bfmkit.components.environments.tabular import TabularEnvironment
from bfmkit.interfaces import BFM, Environment
from bfmkit.recipe import build_node
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.bfm import BFMContract

LAYOUT = MDPLayout("random", size=4, actions=3, branching=2, dim=3, seed=2)


class TestEveryPolicy(BFMContract):
    def make(self) -> TabularBFM:
        return TabularBFM(LAYOUT)


class TestPool(BFMContract):
    def make(self) -> TabularBFM:
        return TabularBFM(LAYOUT, pool=5)


def states(bfm: TabularBFM) -> torch.Tensor:  # (S, S)
    return torch.eye(bfm.mdp.states, dtype=torch.float64)


def directions(count: int, dim: int) -> torch.Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("pool", [None, 6])
def test_successor_features_solve_their_equation(pool: int | None) -> None:
    bfm = TabularBFM(LAYOUT, discount=0.9, pool=pool)
    mdp = bfm.mdp
    for z in directions(4, bfm.dim):
        own = bfm.successor_features(states(bfm), z).squeeze(-2)  # (S, d)
        for state, action in product(range(mdp.states), range(mdp.actions)):
            vector = torch.nn.functional.one_hot(torch.tensor(action), mdp.actions).double()
            expected = mdp.transitions[state, action] @ (mdp.features + 0.9 * own)
            found = bfm.successor_features(states(bfm)[state], z, vector).squeeze(-2)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_its_policy_is_the_best_there_is() -> None:
    bfm = TabularBFM(LAYOUT)
    every = torch.tensor(list(product(range(3), repeat=4)))
    values = bfm.mdp.successor_features(every, bfm.discount)
    for z in directions(10, bfm.dim):
        found = bfm.successor_features(states(bfm), z).squeeze(-2) @ z
        torch.testing.assert_close(found, (values @ z).amax(0), rtol=0, atol=1e-9)


def test_with_a_pool_it_is_the_best_of_the_pool_from_the_start() -> None:
    bfm = TabularBFM(LAYOUT, pool=6)
    members = bfm.mdp.start @ bfm.successor_features(states(bfm), bfm.latents.unsqueeze(1)).squeeze(-2)  # (6, d)
    for z in directions(20, bfm.dim):
        found = bfm.mdp.start @ bfm.successor_features(states(bfm), z).squeeze(-2)
        assert float(found @ z) == pytest.approx(float((members @ z).max()), abs=1e-9)
    for member, z in zip(members, bfm.latents, strict=True):
        assert float(member @ z) == pytest.approx(float((members @ z).max()), abs=1e-9)


def test_pool_holds_optimal_policies() -> None:
    pool, every = TabularBFM(LAYOUT, pool=6), TabularBFM(LAYOUT)
    torch.testing.assert_close(
        pool.successor_features(states(pool), pool.latents.unsqueeze(1)),
        every.successor_features(states(pool), pool.latents.unsqueeze(1)),
        rtol=0,
        atol=1e-10,
    )


def test_pool_is_a_function_of_its_seed() -> None:
    one, same, other = (TabularBFM(LAYOUT, pool=4, seed=seed).latents for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_rewards_of_the_inference_set_give_the_weights_back() -> None:
    bfm = TabularBFM(LAYOUT)
    environment = TabularEnvironment(LAYOUT, "random_0")
    labelled = bfm.inference_set()
    for task, weights in environment.mdp.tasks.items():
        reward = environment.relabel(labelled["next", "physics"], labelled["action"], task)
        features = bfm.features(labelled["observation"], labelled["action"], labelled["next", "observation"])
        found = torch.linalg.lstsq(features.double(), reward.double().unsqueeze(-1)).solution.squeeze(-1)
        torch.testing.assert_close(found, weights, rtol=0, atol=1e-5)


def test_walking_in_the_environment_gives_the_successor_features() -> None:
    layout = MDPLayout("chain", size=5, dim=3)
    bfm = TabularBFM(layout, discount=0.5)
    environment = TabularEnvironment(layout, "random_3")
    z = bfm.policy_latent(environment.mdp.tasks["random_3"].float())
    observation = environment.reset_batch()[0]
    expected = bfm.successor_features(observation, z)[0, 0]
    total = torch.zeros(bfm.dim)
    for step in range(40):
        action = bfm.act(observation, z)
        following = environment.step_batch(action).observation
        total += 0.5**step * bfm.features(observation, action, following)[0]
        observation = following
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-5)


def test_recipes_make_environment_and_model_from_the_same_words() -> None:
    words = {"layout": "grid", "size": 3, "slip": 0.1}
    bfm = build_node(BFM, {"type": "tabular", "mdp": words, "pool": 4})
    environment = build_node(Environment, {"type": "tabular", "mdp": words, "task": "state_8"})
    bfm.environment_spec.require_compatible(environment.spec, "this")


@pytest.mark.parametrize("wrong", [{"discount": 1.0}, {"discount": -0.1}, {"pool": 0}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TabularBFM(LAYOUT, **wrong)
