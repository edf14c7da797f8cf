from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bfmkit.components.bfms.tabular import TabularBFM
from bfmkit.evaluation.diagnostics.bellman import bellman_consistency
from bfmkit.tabular.mdp_layout import MDPLayout


def test_exact_where_moves_are_certain(broken: type, weights: Tensor) -> None:
    bfm = broken()
    found = bellman_consistency(bfm, bfm.inference_set(), weights)
    assert found.error < 1e-6
    assert found.reward_scale == pytest.approx(1)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_of_a_scaled_model_the_scale_is_found(broken: type, weights: Tensor, scale: float) -> None:
    """Of cψ, r + γcv' − cv = (1 − c) r."""
    bfm = broken(psi=lambda psi: scale * psi)
    data = bfm.inference_set()
    found = bellman_consistency(bfm, data, weights)
    assert found.reward_scale == pytest.approx(scale, abs=1e-6)
    exact = broken()
    kind = torch.arange(len(data)) % 4
    z = exact.policy_latent(weights[kind])
    value = (exact.successor_features(data["observation"], z, data["action"]).squeeze(-2) * weights[kind]).sum(-1)
    reward = (data["next", "observation"] * weights[kind]).sum(-1)
    spread = torch.stack([value[kind == each].var() for each in range(4)]).mean().sqrt()
    expected = abs(1 - scale) * reward.square().mean().sqrt() / (scale * spread) if scale else math.inf
    assert found.error == pytest.approx(float(expected), rel=1e-4)


def test_what_may_follow_is_added() -> None:
    """A coin decides which of two states is next, whatever is done: v is the same everywhere, r + γv' is not."""
    bfm = TabularBFM(MDPLayout("random", size=2, actions=2, branching=2), discount=0.5)
    weights = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    data = bfm.inference_set()
    state, choice = data["observation"].argmax(-1), data["action"].argmax(-1)
    following = data["next", "physics"].squeeze(-1).long()
    z = bfm.policy_latent(weights)
    policy = bfm.mdp.optimal_policy(z, 0.5)[0]
    after = bfm.mdp.successor_features(policy, 0.5) @ weights[0]  # (S,)
    reward = bfm.mdp.features @ weights[0]
    value = bfm.mdp.transitions @ (reward + 0.5 * after)  # (S, A)
    error = reward[following] + 0.5 * after[following] - value[state, choice]
    expected = (error.square().mean() / value[state, choice].var()).sqrt()
    assert bellman_consistency(bfm, data, weights).error == pytest.approx(float(expected), rel=1e-5)


def test_needs_transitions_for_every_reward(broken: type, weights: Tensor) -> None:
    bfm = broken()
    with pytest.raises(ValueError, match="at least 8 transitions, got 7"):
        bellman_consistency(bfm, bfm.inference_set()[:7], weights)
