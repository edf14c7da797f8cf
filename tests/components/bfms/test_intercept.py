from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.intercept import Intercept
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.models import LinearBFM
from bfmkit.utils.linalg import least_squares_weights


class TestIntercept(BFMContract):
    def make(self) -> Intercept:
        return Intercept(LinearBFM(dim=4, discount=0.9))

    def test_a_constant_is_worth_itself_for_ever_and_changes_no_policy(self) -> None:
        bfm = self.make()
        observation, action, following, _ = self.inputs(bfm, 5)
        constant = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.3])
        weights = torch.randn(5, 5)
        z = bfm.policy_latent(weights)
        torch.testing.assert_close(bfm.act(observation, z), bfm.act(observation, bfm.policy_latent(weights + constant)))
        torch.testing.assert_close(z[:, :4], bfm.model.policy_latent(weights[:, :4]))
        torch.testing.assert_close(bfm.features(observation, action, following) @ constant, torch.full((5,), 0.3))
        torch.testing.assert_close(bfm.successor_features(observation, z) @ constant, torch.full((5, 2), 3.0))

    def test_fits_a_reward_with_a_mean(self) -> None:
        bfm = self.make()
        data = bfm.inference_set()
        rewards = data["next", "observation"][:, :1] + 0.7
        features = bfm.features(data["observation"], data["action"], data["next", "observation"])
        weights = least_squares_weights(features, rewards)[0]
        torch.testing.assert_close(weights.float(), torch.tensor([1.0, 0.0, 0.0, 0.0, 0.7]), rtol=1e-3, atol=1e-3)

    def test_knows_the_second_moment_of_what_the_model_brings(self) -> None:
        bfm = self.make()
        moment, data = bfm.feature_second_moment(), bfm.inference_set()
        torch.testing.assert_close(moment[4, :4], data["next", "observation"].double().mean(0))
        assert moment[4, 4].item() == pytest.approx(1.0)
        assert Intercept(LinearBFM(labelled=0)).feature_second_moment() is None
