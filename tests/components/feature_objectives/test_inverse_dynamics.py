from __future__ import annotations

import torch

from bfmkit.components.feature_objectives.inverse_dynamics import InverseDynamicsObjective
from bfmkit.interfaces import FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestInverseDynamicsObjective(FeatureObjectiveContract):
    def make(self) -> InverseDynamicsObjective:
        return InverseDynamicsObjective()

    def test_its_loss_is_that_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=4)
        expected = torch.zeros(())
        for s, action, following in zip(*batch[:3], strict=True):
            guess = torch.tanh(objective._head(torch.cat([features.encode(s), features.encode(following)])))
            expected = expected + (action - guess).square().mean() / 4
        torch.testing.assert_close(objective.losses(features, batch)["loss_action"], expected)

    def test_sees_what_actions_move_and_nothing_else(self) -> None:
        torch.manual_seed(0)
        features = EncodedFeatures(SPEC, LinearNetworks(), dim=2, normalised=False)
        objective = InverseDynamicsObjective()
        objective.attach(features, SPEC)
        optimizer = torch.optim.Adam([*features.parameters(), *objective.parameters()], lr=0.01)
        for _ in range(1500):
            s, noise = torch.randn(2, 128, SPEC.observation_size)
            action = 0.2 * (2 * torch.rand(128, SPEC.action_size) - 1)
            # The first two entries go where they are told, the others wherever they like.
            following = torch.cat([s[:, :2] + action, noise[:, 2:]], -1)
            loss = objective.losses(features, FeatureBatch(s, action, following))["loss_action"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss < 0.05 * 0.2**2 / 3, "a twentieth of the actions' variance"
        weight = features.encoder_network.weight
        assert weight[:, 2:].norm() < 0.1 * weight[:, :2].norm()
        assert torch.linalg.svdvals(weight[:, :2]).min() > 0.1
