"""Contract of feature maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from tensordict import TensorDict

from bfmkit.interfaces import FeatureMap


class FeatureMapContract(ABC):
    """Contract of feature maps: subclass it in a test, build the map in ``make`` and name its sizes."""

    observation_size: ClassVar[int] = 5
    action_size: ClassVar[int] = 2

    @abstractmethod
    def make(self) -> FeatureMap:
        """The map under test."""

    def transitions(self, *batch: int) -> TensorDict:
        """Random transitions, always the same."""
        generator = torch.Generator().manual_seed(3)
        observation, following = torch.randn(2, *batch, self.observation_size, generator=generator)
        action = torch.rand(*batch, self.action_size, generator=generator) * 2 - 1
        return TensorDict(
            {"observation": observation, "action": action, "next": {"observation": following}}, list(batch)
        )

    def test_any_batch_gives_features(self) -> None:
        features = self.make()
        for batch in ((), (4,), (3, 2)):
            given = self.transitions(*batch)
            value = features.features(*(given.get(key) for key in FeatureMap.in_keys))
            assert value.shape == (*batch, features.dim)
            assert value.isfinite().all()

    def test_transitions_do_not_touch_each_other(self) -> None:
        features = self.make().eval()
        given = self.transitions(4)
        together = features.features(*(given.get(key) for key in FeatureMap.in_keys))
        alone = features.features(*(given[2:3].get(key) for key in FeatureMap.in_keys))
        torch.testing.assert_close(alone, together[2:3], rtol=1e-4, atol=1e-5)

    def test_as_a_tensordict_module_it_writes_features(self) -> None:
        features = self.make().eval()
        given = self.transitions(4)
        expected = features.features(*(given.get(key) for key in FeatureMap.in_keys))
        torch.testing.assert_close(features(given)["features"], expected)
