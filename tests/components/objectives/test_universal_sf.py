from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from tensordict import TensorDict

from bfmkit.components.bfms.universal_sf import UniversalSF
from bfmkit.components.feature_maps.encoder import EncoderFeatures
from bfmkit.components.feature_maps.fourier import FourierFeatures
from bfmkit.components.feature_maps.hilp_difference import HilpDifferenceFeatures
from bfmkit.components.feature_maps.hilp_state import HilpStateFeatures
from bfmkit.components.feature_maps.identity import IdentityFeatures
from bfmkit.components.feature_maps.random import RandomFeatures
from bfmkit.components.feature_objectives.autoencoder import AutoencoderObjective
from bfmkit.components.feature_objectives.contrastive import ContrastiveObjective
from bfmkit.components.feature_objectives.forward_dynamics import ForwardDynamicsObjective
from bfmkit.components.feature_objectives.hilp import HilpObjective
from bfmkit.components.feature_objectives.inverse_dynamics import InverseDynamicsObjective
from bfmkit.components.feature_objectives.laplacian import LaplacianObjective
from bfmkit.components.latent_samplers.goals import GoalLatents
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.universal_sf import UniversalSFObjective, least
from bfmkit.interfaces import EnvironmentSpec, FeatureMap, FeatureObjective
from bfmkit.models.layers import project
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.models import LinearBFM, ball_spec, into_ball
from bfmkit.testing.objective import SPEC, ObjectiveContract

NETWORKS = TwoStreamNetworks(16, 16, 2)


class TestUniversalSFObjective(ObjectiveContract):
    """With features that stay as they are."""

    settings: ClassVar[dict] = {}

    def make(self) -> UniversalSFObjective:
        torch.manual_seed(3)
        bfm = UniversalSF(SPEC, self.features(), NETWORKS)
        return UniversalSFObjective(bfm, self.feature_objective(), **self.settings)

    def features(self) -> FeatureMap:
        return RandomFeatures(SPEC, NETWORKS, dim=4)

    def feature_objective(self) -> FeatureObjective | None:
        return None

    def test_the_actors_loss_trains_the_actor_alone(self) -> None:
        objective = self.make()
        self.losses(objective)["loss_actor"].backward()
        groups = objective.parameter_groups()
        assert all(parameter.grad.abs().sum() > 0 for parameter in groups.pop("actor"))
        assert all(parameter.grad is None for group in groups.values() for parameter in group)

    def test_the_critics_loss_trains_the_critic_alone(self) -> None:
        objective = self.make()
        self.losses(objective)["loss_successor"].backward()
        groups = objective.parameter_groups()
        assert all(parameter.grad is not None for parameter in groups.pop("successor"))
        assert all(parameter.grad is None for group in groups.values() for parameter in group)


class TestLaplacian(TestUniversalSFObjective):
    def features(self) -> FeatureMap:
        return EncoderFeatures(SPEC, NETWORKS, dim=4)

    def feature_objective(self) -> FeatureObjective:
        return LaplacianObjective()


class TestHilpState(TestUniversalSFObjective):
    settings: ClassVar[dict] = {"vector_loss": 0.0, "value_loss": 1.0, "target": "minimum"}

    def features(self) -> FeatureMap:
        return HilpStateFeatures(SPEC, NETWORKS, dim=4)

    def feature_objective(self) -> FeatureObjective:
        return HilpObjective()

    def test_asks_for_the_future(self) -> None:
        assert self.make().future_discount == 0.99
        assert TestLaplacian().make().future_discount is None


class TestHilpDifference(TestHilpState):
    def features(self) -> FeatureMap:
        return HilpDifferenceFeatures(SPEC, NETWORKS, dim=4)


@pytest.mark.parametrize(
    "learner", [ContrastiveObjective, InverseDynamicsObjective, ForwardDynamicsObjective, AutoencoderObjective]
)
def test_any_feature_objective_is_a_part(learner: type[FeatureObjective]) -> None:
    bfm = UniversalSF(SPEC, EncoderFeatures(SPEC, NETWORKS, dim=4), NETWORKS)
    objective = UniversalSFObjective(bfm, learner(), feature_rate=5.0)
    losses = objective(TestUniversalSFObjective().batch())
    sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    assert objective.rate_factors["features"] == 5.0
    assert all(parameter.grad is not None for parameter in objective.parameter_groups()["features"])


@pytest.mark.parametrize(("vector_loss", "value_loss"), [(1.0, 0.0), (0.0, 1.0), (0.1, 2.0)])
@pytest.mark.parametrize("target", ["mean", "minimum"])
def test_its_losses_are_those_of_the_formula(
    vector_loss: float, value_loss: float, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    bfm = UniversalSF(SPEC, IdentityFeatures(SPEC), NETWORKS, discount=0.7)
    objective = UniversalSFObjective(
        bfm, vector_loss=vector_loss, value_loss=value_loss, target=target, action_noise=0.0
    )
    batch, z = TestUniversalSFObjective().batch(8), project(torch.randn(8, 5))
    with torch.no_grad():
        for parameter in objective._targets[0].parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    monkeypatch.setattr(objective, "_sample_z", lambda context: z)
    losses = objective(batch)
    successor_loss, actor_loss = 0.0, 0.0
    for i in range(8):
        s, following, zi = batch["observation"][i], batch["next", "observation"][i], z[i]
        later = objective._targets[0](following, zi, bfm.actor_network(following, zi))
        chosen = later.mean(0) if target == "mean" else min(later, key=lambda member: (member @ zi).item())
        aim = following + 0.7 * float(not batch["next", "terminated"][i]) * chosen
        for member in bfm.successor_network(s, zi, batch["action"][i]):
            error = member - aim
            along = (error @ zi / zi.norm()).square()
            successor_loss += (vector_loss * error.square().mean() + value_loss * along).item() / 8
        actor_loss -= min(member @ zi for member in bfm.successor_network(s, zi, bfm.actor_network(s, zi))).item() / 8
    assert losses["loss_successor"].item() == pytest.approx(successor_loss, rel=1e-4)
    assert losses["loss_actor"].item() == pytest.approx(actor_loss, rel=1e-4)


def test_the_least_member_is_chosen_row_by_row() -> None:
    successor = torch.tensor([[[1.0, 0.0], [0.0, 5.0]], [[2.0, 0.0], [0.0, 1.0]]])
    assert least(successor, torch.ones(2, 2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_z_made_of_states_are_the_weights_that_reward_being_there() -> None:
    torch.manual_seed(0)
    bfm = UniversalSF(SPEC, IdentityFeatures(SPEC), NETWORKS)
    objective = UniversalSFObjective(bfm, latent_sampler=GoalLatents())
    batch = TestUniversalSFObjective().batch(4000)
    mix = torch.diag(torch.tensor([3.0, 1.0, 1.0, 0.5, 0.3]))
    batch["next", "observation"] = batch["next", "observation"] @ mix
    objective.update_statistics(batch)
    few = batch[:6]
    x = few["next", "observation"]
    # Least squares on a reward of 1 in one state x alone: C⁻¹φ(x), up to its length.
    expected = project(x.roll(1, 0) @ torch.linalg.inv(mix @ mix))
    torch.testing.assert_close(objective.latents(few), expected, atol=0.2, rtol=0)


def test_learns_the_exact_successor_features_of_a_chain_of_states() -> None:
    """Where the action changes nothing, ψ is that of the one policy there is, for every z."""
    torch.manual_seed(0)
    mdp = MDPLayout("random", 6, actions=1).build()
    spec = EnvironmentSpec("states", 6, 1, 1, 100, 1.0, ())
    bfm = UniversalSF(spec, IdentityFeatures(spec), TwoStreamNetworks(32, 16, 2), discount=0.8)
    states = torch.eye(6)

    def batch() -> TensorDict:
        here = torch.randint(6, (128,))
        there = mdp.transitions[here, 0].multinomial(1).squeeze(-1)
        following = {"observation": states[there], "terminated": torch.zeros(128, dtype=torch.bool)}
        action = 2 * torch.rand(128, 1) - 1
        return TensorDict({"observation": states[here], "action": action, "next": following}, [128])

    train(UniversalSFObjective(bfm, target_rate=0.05), batch, updates=500)
    exact = mdp.successor_features(torch.zeros(6, dtype=torch.int64), 0.8).float()
    z = project(torch.randn(10, 1, 6))
    with torch.no_grad():
        found = bfm.successor_features(states, z).mean(-2)
    assert (found - exact).abs().mean() < 0.03 * exact.abs().max()


def test_learns_policies_that_go_where_z_says() -> None:
    """A point that goes wherever it is told, within the unit ball: π_z = z/‖z‖ and ψ are known."""
    torch.manual_seed(0)
    spec = ball_spec(dim=2)
    bfm = UniversalSF(spec, IdentityFeatures(spec), TwoStreamNetworks(32, 16, 2), discount=0.8)

    def batch() -> TensorDict:
        action = 2 * torch.rand(128, 2) - 1
        following = {"observation": into_ball(action), "terminated": torch.zeros(128, dtype=torch.bool)}
        here = into_ball(torch.randn(128, 2))
        return TensorDict({"observation": here, "action": action, "next": following}, [128])

    train(UniversalSFObjective(bfm, target_rate=0.05, action_noise=0.1), batch, updates=500)
    z, s, truth = project(torch.randn(64, 2)), into_ball(torch.randn(64, 2)), LinearBFM(dim=2, discount=0.8)
    with torch.no_grad():
        reached = into_ball(bfm.act(s, z))
        value = (bfm.successor_features(s, z).mean(-2) * z).sum(-1)
    direction = torch.nn.functional.normalize(z, dim=-1)
    assert (reached * direction).sum(-1).mean() > 0.97
    best = (truth.successor_features(s, z)[:, 0] * z).sum(-1)
    assert value.mean().item() == pytest.approx(best.mean().item(), rel=0.07)


def train(objective: UniversalSFObjective, batch: object, updates: int) -> None:
    trained = [parameter for group in objective.parameter_groups().values() for parameter in group]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        drawn = batch()
        losses = objective(drawn)
        optimizer.zero_grad()
        (losses["loss_successor"] + losses["loss_actor"]).backward()
        optimizer.step()
        schedule.step()
        objective.update_targets()
        objective.update_statistics(drawn)


def test_refuses_what_it_cannot_train() -> None:
    with pytest.raises(TypeError, match="LinearBFM"):
        UniversalSFObjective(LinearBFM())
    bfm = UniversalSF(SPEC, RandomFeatures(SPEC, NETWORKS, dim=4), NETWORKS)
    with pytest.raises(TypeError, match="laplacian objective cannot train RandomFeatures"):
        UniversalSFObjective(bfm, LaplacianObjective())
    with pytest.raises(ValueError, match="feature_rate"):
        UniversalSFObjective(bfm, feature_rate=0.0)


def test_prepares_the_feature_map_with_standardised_observations() -> None:
    spec = replace(SPEC, observation_names=tuple("abcde"))
    features = FourierFeatures(spec, ["a", "b"], dim=5, num_frequencies=20)
    objective = UniversalSFObjective(UniversalSF(spec, features, NETWORKS))
    x = 3 + 2 * torch.randn(4000, 5, generator=torch.Generator().manual_seed(0))
    objective.prepare(x)
    phi = objective.bfm.features(x, x[:, :2], x)
    moment = phi.mT @ phi / len(phi)
    torch.testing.assert_close(moment, torch.diag(moment.diagonal()), atol=1e-3, rtol=0)
