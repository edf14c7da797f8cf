from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_objectives.forward_dynamics import ForwardDynamicsObjective
from bfmkit.interfaces import FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestForwardDynamicsObjective(FeatureObjectiveContract):
    def make(self) -> ForwardDynamicsObjective:
        return ForwardDynamicsObjective()

    def test_its_loss_is_that_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=4)
        expected = torch.zeros(())
        for s, action, following in zip(*batch[:3], strict=True):
            guess = objective._head(torch.cat([features.encode(s), action]))
            expected = expected + (following - guess).square().mean() / 4
        torch.testing.assert_close(objective.losses(features, batch)["loss_prediction"], expected)

    def test_keeps_the_one_number_that_decides_what_comes_next(self) -> None:
        torch.manual_seed(0)
        features = EncodedFeatures(SPEC, LinearNetworks(), dim=1, normalised=False)
        objective = ForwardDynamicsObjective()
        objective.attach(features, SPEC)
        optimizer = torch.optim.Adam([*features.parameters(), *objective.parameters()], lr=0.01)
        decides = torch.nn.functional.normalize(torch.randn(SPEC.observation_size), dim=0)
        effect, control = torch.randn(SPEC.observation_size), torch.randn(SPEC.action_size, SPEC.observation_size)
        for _ in range(1000):
            s, noise = torch.randn(2, 256, SPEC.observation_size)
            action = 2 * torch.rand(256, SPEC.action_size) - 1
            following = (s @ decides).unsqueeze(-1) * effect + action @ control + 0.3 * noise
            loss = objective.losses(features, FeatureBatch(s, action, following))["loss_prediction"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() == pytest.approx(0.09, rel=0.15), "the noise, which nobody can predict"
        weight = features.encoder_network.weight.squeeze(0)
        assert torch.cosine_similarity(weight, decides, dim=0).abs() > 0.99
