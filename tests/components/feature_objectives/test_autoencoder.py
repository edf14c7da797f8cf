from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_objectives.autoencoder import AutoencoderObjective
from bfmkit.interfaces import FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class TestAutoencoderObjective(FeatureObjectiveContract):
    def make(self) -> AutoencoderObjective:
        return AutoencoderObjective()

    def test_its_loss_is_that_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=4)
        expected = torch.zeros(())
        for s in batch.observation:
            expected = expected + (s - objective._decoder(features.encode(s))).square().mean() / 4
        torch.testing.assert_close(objective.losses(features, batch)["loss_reconstruction"], expected)

    def test_a_linear_one_finds_the_principal_components(self) -> None:
        torch.manual_seed(0)
        features = EncodedFeatures(SPEC, LinearNetworks(), dim=2, normalised=False)
        objective = AutoencoderObjective()
        objective.attach(features, SPEC)
        optimizer = torch.optim.Adam([*features.parameters(), *objective.parameters()], lr=0.01)
        axes = torch.linalg.qr(torch.randn(5, 5)).Q
        deviations = torch.tensor([3.0, 2.0, 0.5, 0.4, 0.3])
        for _ in range(1000):
            s = torch.randn(256, 5) * deviations @ axes.mT
            loss = objective.losses(features, FeatureBatch(s, s[:, :2], s))["loss_reconstruction"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() == pytest.approx((0.25 + 0.16 + 0.09) / 5, rel=0.15), "the variance along the other three"
        span = torch.linalg.qr(features.encoder_network.weight.mT).Q
        assert torch.linalg.svdvals(span.mT @ axes[:, :2]).min() > 0.99
