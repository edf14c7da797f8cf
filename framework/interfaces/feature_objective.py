"""Feature objectives: losses that train a feature map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from bfmkit.interfaces.feature_map import FeatureMap
from bfmkit.interfaces.spec import EnvironmentSpec


class FeatureBatch(NamedTuple):
    """Batch of transitions with standardised observations, as a feature map sees them."""

    observation: Tensor  # (N, o)
    action: Tensor  # (N, a)
    next_observation: Tensor  # (N, o)
    future_observation: Tensor | None = None  # (N, o), for an objective with a future_discount


class FeatureObjective(nn.Module, ABC):
    """Base class of losses on a feature map, with their own networks: heads, second encoders, target networks.

    Those are parameters of this module and no part of the model; the map is handed to every call and is not kept.
    """

    kind: ClassVar[str] = "feature_objective"
    folder: ClassVar[str] = "feature_objectives"

    future_discount: float | None = None
    """If given, batches have future observations, k steps after the next one with k geometric (see Objective)."""

    @abstractmethod
    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Build the networks that the loss needs for this map; called once, before anything else.

        Raises:
            TypeError: if it is a map that this objective cannot train.
        """

    @abstractmethod
    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """Scalars: ``loss_*`` to be minimised, and detached numbers for the log. Changes no state."""

    def update_targets(self, features: FeatureMap) -> None:
        """Move target networks after an optimiser step, if there are any."""
        return

    def start_from(self, features: FeatureMap) -> None:
        """Start target networks at the map's weights, which are those of a trained one."""
        return
