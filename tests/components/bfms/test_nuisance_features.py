from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.nuisance_features import NuisanceFeatures
from bfmkit.interfaces import FeatureMap
from bfmkit.models.feature_moment import feature_moment
from bfmkit.recipe import defer
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.models import LinearBFM
from bfmkit.utils.linalg import least_squares_weights


def made(labelled: int = 2000) -> NuisanceFeatures:
    entries = ["observation_0", "observation_1"]
    further = defer(FeatureMap, {"type": "fourier", "entries": entries, "dim": 20, "num_frequencies": 31})
    return NuisanceFeatures(LinearBFM(labelled=labelled), further)


def curved(following: torch.Tensor) -> torch.Tensor:
    """Reward of the second coordinate, and of something that the model's features cannot express."""
    return following[:, 1].double() + 2 * (following[:, 0].double() - 0.5).clamp(min=0)


class TestNuisanceFeatures(BFMContract):
    def make(self) -> NuisanceFeatures:
        return made()

    def test_weights_mean_over_the_inference_set_what_they_mean_without(self) -> None:
        bfm = self.make()
        data = bfm.inference_set()
        transitions = [data["observation"], data["action"], data["next", "observation"]]
        reward = curved(transitions[2]).unsqueeze(-1)
        plain = least_squares_weights(bfm.model.features(*transitions), reward)[0]
        weights = least_squares_weights(bfm.features(*transitions), reward)[0]
        torch.testing.assert_close(weights[:4], plain, atol=1e-3, rtol=1e-3)
        moment = feature_moment(bfm)
        assert moment[:4, 4:].abs().max() < 1e-5 * moment.abs().max()

    def test_few_states_are_enough_for_a_reward_that_the_further_features_complete(self) -> None:
        bfm = self.make()
        generator = torch.Generator().manual_seed(0)
        # One side of the ball, where a single policy goes.
        few = 0.2 * torch.randn(2000, 4, generator=generator) + torch.tensor([0.6, 0.0, 0.0, 0.0])
        weights = torch.randn(24, generator=generator, dtype=torch.float64)
        features = bfm.features(few, few, few).double()
        reward = (features @ weights).unsqueeze(-1)
        plain = least_squares_weights(features[:, :4], reward, relative_ridge=1e-9)[0]
        assert (plain - weights[:4]).norm() > 0.5
        both = least_squares_weights(features, reward, relative_ridge=1e-12)[0]
        torch.testing.assert_close(both[:4], weights[:4], atol=0.02, rtol=0)

    def test_policies_and_values_are_the_models(self) -> None:
        bfm = self.make()
        observation, action, _, z = self.inputs(bfm, 5)
        assert torch.equal(z[:, 4:], torch.zeros(5, 20))
        other = torch.cat([z[:, :4], torch.randn(5, 20)], -1)
        torch.testing.assert_close(bfm.policy_latent(other), z)
        assert torch.equal(bfm.act(observation, z), bfm.model.act(observation, z[:, :4]))
        value = bfm.successor_features(observation, z, action)
        assert torch.equal(value[..., :4], bfm.model.successor_features(observation, z[:, :4], action))
        assert not value[..., 4:].any()


def test_a_model_without_transitions_is_refused() -> None:
    with pytest.raises(ValueError, match="brings an inference set"):
        made(labelled=0)
