"""Contract of feature objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor, nn

from bfmkit.interfaces import FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.networks import LinearNetworks
from bfmkit.testing.objective import SPEC


class NothingToTrain(FeatureMap):
    """A feature map without parameters."""

    dim = SPEC.observation_size

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        return next_observation


class FeatureObjectiveContract(ABC):
    """Contract of feature objectives: subclass it in a test and build one in ``make``."""

    @abstractmethod
    def make(self) -> FeatureObjective:
        """The objective under test, not attached yet."""

    def features(self) -> FeatureMap:
        """Feature map that it trains: a linear encoder, unless another is needed."""
        return EncodedFeatures(SPEC, LinearNetworks(), dim=3, normalised=False)

    def attached(self) -> tuple[FeatureObjective, FeatureMap]:
        """Objective attached to its map; the same weights at every call."""
        torch.manual_seed(3)
        objective, features = self.make(), self.features()
        objective.attach(features, SPEC)
        return objective, features

    def batch(self, objective: FeatureObjective, rows: int = 32) -> FeatureBatch:
        """Random transitions; with a future only for an objective that asks for one."""
        generator = torch.Generator().manual_seed(1)
        s, following, future = torch.randn(3, rows, SPEC.observation_size, generator=generator)
        action = torch.rand(rows, SPEC.action_size, generator=generator) * 2 - 1
        return FeatureBatch(s, action, following, None if objective.future_discount is None else future)

    def total(self, objective: FeatureObjective, features: FeatureMap, seed: int = 0) -> Tensor:
        """Sum of the losses under fixed noise."""
        torch.manual_seed(seed)
        losses = objective.losses(features, self.batch(objective))
        return torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum()

    def trained(self, objective: FeatureObjective, features: FeatureMap) -> list[nn.Parameter]:
        """Parameters of map and objective that are trained."""
        return [each for module in (features, objective) for each in module.parameters() if each.requires_grad]

    def test_losses_are_finite_scalars(self) -> None:
        objective, features = self.attached()
        losses = objective.losses(features, self.batch(objective))
        assert any(name.startswith("loss_") for name in losses)
        for name, value in losses.items():
            assert value.shape == (), name
            assert value.isfinite(), name
            assert value.requires_grad == name.startswith("loss_"), name

    def test_losses_change_nothing(self) -> None:
        objective, features = self.attached()
        modules = nn.ModuleList([objective, features])
        before = {name: value.clone() for name, value in modules.state_dict().items()}
        self.total(objective, features)
        assert all(torch.equal(value, before[name]) for name, value in modules.state_dict().items())

    def test_the_map_and_everything_beside_it_get_gradients(self) -> None:
        objective, features = self.attached()
        self.total(objective, features).backward()
        trained = self.trained(objective, features)
        assert all(each.grad is not None and each.grad.isfinite().all() for each in trained)
        assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in features.parameters())

    def test_a_few_steps_lower_the_loss(self) -> None:
        objective, features = self.attached()
        optimizer = torch.optim.Adam(self.trained(objective, features), lr=3e-3)
        with torch.no_grad():
            before = sum(self.total(objective, features, seed) for seed in range(10))
        for seed in range(60):
            optimizer.zero_grad()
            self.total(objective, features, seed).backward()
            optimizer.step()
        with torch.no_grad():
            after = sum(self.total(objective, features, seed) for seed in range(10))
        assert after < before

    def test_the_map_is_no_part_of_it(self) -> None:
        objective, features = self.attached()
        own = {id(each) for each in objective.parameters()}
        assert not any(id(each) in own for each in features.parameters())

    def test_targets_follow_the_map_and_start_where_it_does(self) -> None:
        objective, features = self.attached()
        with torch.no_grad():
            for each in self.trained(objective, features):
                each.add_(0.1)
        before = [each.clone() for each in features.parameters()]
        objective.update_targets(features)
        assert all(torch.equal(each, old) for each, old in zip(features.parameters(), before, strict=True))
        objective.start_from(features)
        settled = {name: value.clone() for name, value in objective.state_dict().items()}
        objective.update_targets(features)
        for name, value in objective.state_dict().items():
            torch.testing.assert_close(value, settled[name])

    def test_refuses_a_map_that_cannot_learn(self) -> None:
        with pytest.raises(TypeError, match="NothingToTrain"):
            self.make().attach(NothingToTrain(), SPEC)
