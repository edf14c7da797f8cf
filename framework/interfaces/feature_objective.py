"""Feature objectives: what a feature map is learnt by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from bfmkit.interfaces.feature_map import FeatureMap
from bfmkit.interfaces.spec import EnvironmentSpec


class FeatureBatch(NamedTuple):
    """Transitions as a feature map sees them, observations standardised."""

    observation: Tensor  # (N, o)
    action: Tensor  # (N, a)
    next_observation: Tensor  # (N, o)
    future_observation: Tensor | None = None  # (N, o), for an objective with a future_discount


class FeatureObjective(nn.Module, ABC):
    """A loss on a feature map, and whatever the loss needs beside the map: heads, second encoders, target networks.

    Those are parameters of this module and no part of the model; the map is handed to every call and is not kept.
    """

    kind: ClassVar[str] = "feature_objective"
    folder: ClassVar[str] = "feature_objectives"

    future_discount: float | None = None
    """If given, batches have future observations, k steps after the next one with k geometric (see Objective)."""

    @abstractmethod
    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make the networks that the loss needs for this map. Called once, before anything else.

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
        """Take note that the map has the weights of a trained one: target networks start there."""
        return
