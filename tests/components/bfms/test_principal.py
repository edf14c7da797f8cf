from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.bfms.intercept import Intercept
from bfmkit.components.bfms.principal import Principal
from bfmkit.components.bfms.whitened import Whitened
from bfmkit.interfaces import BFM
from bfmkit.testing.bfm import BFMContract
from bfmkit.testing.models import LinearBFM
from bfmkit.utils.linalg import least_squares_weights, second_moment


def given_features(bfm: BFM) -> torch.Tensor:
    data = bfm.inference_set()
    return bfm.features(data["observation"], data["action"], data["next", "observation"]).double()


class TestPrincipal(BFMContract):
    def make(self) -> Principal:
        return Principal(LinearBFM(dim=6), dim=4)

    def test_keeps_the_directions_that_vary_most(self) -> None:
        bfm, model = self.make(), LinearBFM(dim=6)
        variances = torch.linalg.eigvalsh(second_moment(given_features(model))).flip(0)
        torch.testing.assert_close(bfm.feature_second_moment(), variances[:4].diag(), atol=1e-7, rtol=1e-5)
        torch.testing.assert_close(second_moment(given_features(bfm)), variances[:4].diag(), atol=1e-6, rtol=1e-4)

    def test_with_all_directions_rewards_and_policies_are_the_models(self) -> None:
        model = checkpoint("zoo:point-mass-maze-hilp")
        bfm = Principal(model, model.dim)
        weights = torch.randn(5, model.dim, dtype=torch.float64)
        turned = weights @ bfm.directions
        observation, action, following, _ = self.inputs(model, 5)
        z, z_of_model = bfm.policy_latent(turned), model.policy_latent(weights)
        torch.testing.assert_close(bfm.act(observation, z), model.act(observation, z_of_model), atol=1e-5, rtol=1e-4)
        for values, expected in (
            (bfm.features(observation, action, following), model.features(observation, action, following)),
            (bfm.successor_features(observation, z)[:, 0], model.successor_features(observation, z_of_model)[:, 0]),
        ):
            torch.testing.assert_close((values * turned).sum(-1), (expected * weights).sum(-1), atol=1e-2, rtol=1e-3)

    def test_regression_puts_no_weight_on_what_hardly_varies(self) -> None:
        class Flat(LinearBFM):
            def features(self, observation: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
                return super().features(observation, *rest) * torch.tensor([1.0, 1.0, 1.0, 1e-4])

        # A reward of what the features do not hold: a little of it is explained by their flattest direction.
        rewards = Flat().inference_set()["next", "observation"][:, 3:].sign().double()
        plain, leading = (least_squares_weights(given_features(bfm), rewards) for bfm in (Flat(), Principal(Flat(), 3)))
        assert plain.norm() > 100
        assert leading.norm() < 3

    def test_composes_with_models_that_change_the_features(self) -> None:
        model = LinearBFM(dim=6)
        assert Intercept(Principal(model, 3)).dim == 4
        white = Whitened(Principal(model, 3), relative_ridge=1e-12)
        torch.testing.assert_close(white.feature_second_moment(), torch.eye(3).double(), atol=1e-6, rtol=0)

    def test_refuses_what_it_cannot_restrict(self) -> None:
        with pytest.raises(ValueError, match="at most the model's 4, got 5"):
            Principal(LinearBFM(dim=4), 5)
        with pytest.raises(ValueError, match="put principal inside"):
            Principal(Intercept(LinearBFM(dim=4)), 3)
        with pytest.raises(ValueError, match="no data"):
            Principal(LinearBFM(labelled=0), 2)
