from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.bfms.whitened import Whitened
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.models import LinearBFM
from bfmkit.utils.linalg import least_squares_weights

MIX = torch.tensor([[30.0, 2.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.01, 0.0], [1.0, 0.0, 0.0, 1.0]])


class Mixed(LinearBFM):
    """The same rewards and policies, in other coordinates: φ' = Mφ, so w' = M⁻ᵀw, and z stays."""

    def __init__(self, mix: Tensor, knows: bool = True, **settings: int) -> None:
        super().__init__(**settings)
        self.mix, self.knows = mix, knows

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return super().features(observation, action, next_observation) @ self.mix.mT

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        return super().successor_features(observation, z.float(), action) @ self.mix.mT

    def policy_latent(self, weights: Tensor) -> Tensor:
        return super().policy_latent(weights @ self.mix.to(weights.dtype))

    def feature_second_moment(self) -> Tensor | None:
        if not self.knows:
            return None
        features = given_features(self).double()
        return features.mT @ features / len(features)


def given_features(bfm: LinearBFM | Whitened) -> Tensor:
    data = bfm.inference_set()
    return bfm.features(data["observation"], data["action"], data["next", "observation"])


class TestWhitened(BFMContract):
    def make(self) -> Whitened:
        return Whitened(Mixed(MIX))

    @pytest.mark.parametrize("knows", [True, False])
    def test_features_are_white(self, knows: bool) -> None:
        bfm = Whitened(Mixed(MIX, knows))
        features = given_features(bfm).double()
        identity = torch.eye(4, dtype=torch.float64)
        # Not quite the identity: the ridge is a share of the mean, of which the smallest direction is a ten-millionth.
        torch.testing.assert_close(features.mT @ features / len(features), bfm.feature_second_moment())
        fine = Whitened(Mixed(MIX, knows), relative_ridge=1e-12)
        torch.testing.assert_close(fine.feature_second_moment(), identity, atol=1e-4, rtol=0)

    def test_holds_the_same_rewards_and_policies(self) -> None:
        model = Mixed(MIX)
        bfm = Whitened(model)
        observation, action, following, _ = self.inputs(bfm, 20)
        white = torch.randn(20, 4, dtype=torch.float64)
        plain = white @ bfm.root

        def inner(features: Tensor, weights: Tensor) -> Tensor:
            return (features.double() * weights).sum(-1)

        z = bfm.policy_latent(white)
        torch.testing.assert_close(z, model.policy_latent(plain))
        torch.testing.assert_close(bfm.act(observation, z), model.act(observation, z))
        torch.testing.assert_close(
            inner(bfm.features(observation, action, following), white),
            inner(model.features(observation, action, following), plain),
            rtol=1e-4, atol=1e-3,
        )  # fmt: skip
        torch.testing.assert_close(
            inner(bfm.successor_features(observation, z)[:, 0], white),
            inner(model.successor_features(observation, z)[:, 0], plain),
            rtol=1e-4, atol=1e-3,
        )  # fmt: skip

    def test_units_and_coordinates_of_the_features_do_not_matter(self) -> None:
        # Widths and regularised means are functions of inner products of features, and these are the same.
        one, other = (Whitened(Mixed(mix), 1e-12) for mix in (torch.eye(4), MIX))
        gram = [given_features(bfm).double() @ given_features(bfm).double().mT for bfm in (one, other)]
        torch.testing.assert_close(gram[0], gram[1], rtol=1e-3, atol=1e-3)

    def test_weights_are_as_long_as_rewards_are_large(self) -> None:
        bfm = Whitened(Mixed(MIX), 1e-12)
        rewards = bfm.inference_set()["next", "observation"] @ torch.tensor([[0.3], [0.0], [-0.2], [0.1]])
        weights = least_squares_weights(given_features(bfm), rewards)[0]
        assert weights.norm().item() == pytest.approx(rewards.square().mean().sqrt().item(), rel=1e-3)

    def test_refuses_a_model_that_says_nothing_about_its_features(self) -> None:
        with pytest.raises(ValueError, match="no data"):
            Whitened(Mixed(MIX, knows=False, labelled=0))
        with pytest.raises(ValueError, match="ridge"):
            Whitened(LinearBFM(), relative_ridge=0.0)
