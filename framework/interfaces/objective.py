"""Objectives: the losses that pretrain one family of BFMs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from tensordict import NestedKey, TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import LossModule

from bfmkit.interfaces.bfm import BFM
from bfmkit.interfaces.latent_sampler import DrawnRewards


class Objective(LossModule):
    """Base class of pretraining objectives: the losses of one family of BFMs, as a TorchRL loss module.

    ``forward`` takes a batch of transitions and gives a TensorDict with one ``loss_*`` entry a loss (they are summed
    and stepped together) and detached numbers for the log under other names. It changes no state.

    Several processes may train together, each on its part of a batch. Losses that compare samples with each other
    first gather what they compare, with ``bfmkit.training.all_gather``, and so does ``update_statistics``; means over
    samples need nothing.
    """

    @dataclass
    class _AcceptedKeys:
        observation: NestedKey = "observation"
        action: NestedKey = "action"
        terminated: NestedKey = "terminated"

    default_keys = _AcceptedKeys

    kind: ClassVar[str] = "objective"
    folder: ClassVar[str] = "objectives"

    bfm: BFM

    rate_factors: Mapping[str, float] = MappingProxyType({})
    """Group name -> factor on the learning rate; 1 for a group that is not named."""

    period: int = 1
    """Number of updates after which the same parameters are trained again, such as 2 for an actor that is trained in
    every second one; a recording of updates on a GPU holds as many kinds."""

    future_discount: float | None = None
    """If given, batches hold ``("future", "observation")`` too: what the same episode shows k ≥ 0 steps after the next
    observation, k geometric with this discount, or its last observation if it ends before."""

    @property
    def in_keys(self) -> list[NestedKey]:  # type: ignore[override]
        """Entries of a batch that are read; ``set_keys(observation="state")`` renames them."""
        keys = self.tensor_keys
        own = [keys.observation, keys.action, ("next", keys.observation), ("next", keys.terminated)]
        return own if self.future_discount is None else [*own, ("future", keys.observation)]

    def entry(self, tensordict: TensorDictBase, name: str, *path: str) -> Tensor:
        """An entry of a batch by what it is, such as ``entry(batch, "observation", "next")``."""
        return tensordict[(*path, getattr(self.tensor_keys, name))]

    @abstractmethod
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Losses and metrics of a batch (N,) of transitions."""

    def start_update(self, number: int) -> None:
        """Get ready for an update, counted from 0; of use where :attr:`period` is more than 1."""
        return

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trained parameters, in groups that may have learning rates of their own."""

    @abstractmethod
    def update_targets(self) -> None:
        """Move target networks after an optimiser step."""

    def update_statistics(self, tensordict: TensorDictBase) -> None:  # batch (N,)
        """Update running statistics, e.g. a mean, from the batch of the last update; nothing if there are none."""
        return

    @abstractmethod
    def latents(self, transitions: TensorDictBase) -> Tensor:  # batch (n,) -> (n, d)
        """Policy latents drawn as in training, some of which may be made of these transitions."""

    def draw_rewards(self, transitions: TensorDictBase) -> DrawnRewards | None:  # batch (n,)
        """Rewards as training draws them at these transitions, for pictures; None where z is drawn by no reward."""
        return None

    @abstractmethod
    def prepare(self, observations: Tensor) -> None:  # (n, o)
        """Fit what stays fixed (the scaling of observations) to a sample of the data, once before training."""

    @abstractmethod
    def start_from(self, model: BFM) -> None:
        """Copy the weights of a trained model, into target networks too.

        Raises:
            RuntimeError: if they do not fit.
        """

    @abstractmethod
    def finish(self, bfm: BFM, transitions: TensorDictBase) -> None:  # batch (n,)
        """Fit what an exported model needs from data, e.g. the second moment of its features.

        ``bfm`` is the trained model or a copy of it with averaged weights, whose moments are its own.
        """
