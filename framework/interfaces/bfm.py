"""Behaviour foundation models: features, successor features and policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor

from bfmkit.interfaces.spec import EnvironmentSpec
from bfmkit.registry import lookup


class BFM(TensorDictModuleBase, ABC):
    """A pretrained model that holds a near-optimal policy π_z for every reward r ≈ φᵀw.

    As a TensorDict module it is its policy: ``observation`` and ``z`` in, ``action`` out. Inputs of any batch shape
    are taken, and batch dimensions broadcast against each other, so an observation (B, 1, o) meets candidates
    (B, k, d).
    """

    kind: ClassVar[str] = "bfm"
    folder: ClassVar[str] = "bfms"

    in_keys = ["observation", "z"]
    out_keys = ["action"]

    environment_spec: EnvironmentSpec
    """The environment that the model was made for."""
    dim: int
    """d, the length of φ, ψ, w and z."""
    discount: float
    """γ of the successor features."""
    transitions: TensorDict | None = None
    """What :meth:`inference_set` gives: of a model read from a folder, those that lie there."""

    @abstractmethod
    def features(
        self,
        observation: Tensor,  # (*b, o)
        action: Tensor,  # (*b, a)
        next_observation: Tensor,  # (*b, o)
    ) -> Tensor:  # (*b, d)
        """φ of each transition."""

    @abstractmethod
    def successor_features(
        self,
        observation: Tensor,  # (*b, o)
        z: Tensor,  # (*b, d)
        action: Tensor | None = None,  # (*b, a); None: the action that π_z takes
    ) -> Tensor:  # (*b, E, d)
        """ψ(s, a, z): the expected discounted sum of φ from (s, a) on under π_z, by each critic of the ensemble."""

    @abstractmethod
    def act(
        self,
        observation: Tensor,  # (*b, o)
        z: Tensor,  # (*b, d)
    ) -> Tensor:  # (*b, a)
        """The mean action of π_z, in [-1, 1]."""

    @abstractmethod
    def policy_latent(
        self,
        weights: Tensor,  # (*b, d)
    ) -> Tensor:  # (*b, d)
        """The z whose policy is (near) optimal for the reward φᵀw. Never NaN, also not for w = 0."""

    def candidate_successor_features(
        self,
        observation: Tensor,  # (B, o)
        z: Tensor,  # (B, k, d)
    ) -> Tensor:  # (B, k, E, d)
        """ψ(s, π_z(s), z) for k candidates in each observation; override to share what does not depend on z."""
        return self.successor_features(observation.unsqueeze(-2), z)

    def feature_second_moment(self) -> Tensor | None:  # (d, d) float64
        """E[φφᵀ], not centred, over the data that the model was trained on; None for a model that does not know it."""
        return None

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """Reward-free transitions that travel with the model, so that any reward can be regressed on its features.

        Keys: ``observation``, ``action``, ``("next", "observation")`` and ``("next", "physics")``, from which an
        environment computes the rewards of any of its tasks. None for a model that brings none.
        """
        return self.transitions

    @classmethod
    def from_pretrained(cls, name: str) -> BFM:
        """A pretrained model by its name.

        Args:
            name: ``OWNER/NAME`` on the Hugging Face hub, ``zoo:NAME`` for one that ships with bfmkit, or a folder.

        Raises:
            FileNotFoundError: if there is no such model.
            ValueError: if it is damaged, or of another family than the class that is asked.

        Example:
            ``bfm = BFM.from_pretrained("zoo:walker-fb")``
        """
        is_on_hub = ":" not in name and name.count("/") == 1 and not Path(name).exists()
        model: BFM = lookup(BFM, "checkpoint")(f"hf:{name}" if is_on_hub else name)
        if not isinstance(model, cls):
            found, wanted = type(model).__name__, cls.__name__
            raise ValueError(f"{name} is a {found}, not a {wanted}; BFM.from_pretrained takes any")
        return model

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write ``action`` into ``tensordict``; observations of another float type are taken as ``z`` is.

        Also without a TensorDict: ``action = bfm(observation=observation, z=z)``.
        """
        z = tensordict.get("z")
        return tensordict.set("action", self.act(tensordict.get("observation").to(z.dtype), z))
