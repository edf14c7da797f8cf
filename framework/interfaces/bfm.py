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
    """Base class of behaviour foundation models: a learnt policy π_z for every reward r ≈ φᵀw.

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
        """Features φ(s, a, s') of each transition."""

    @abstractmethod
    def successor_features(
        self,
        observation: Tensor,  # (*b, o)
        z: Tensor,  # (*b, d)
        action: Tensor | None = None,  # (*b, a); None: the action that π_z takes
    ) -> Tensor:  # (*b, E, d)
        """Successor features ψ(s, a, z) by each critic: the expected discounted sum of φ from (s, a) on under π_z."""

    @abstractmethod
    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, o), (*b, d) -> (*b, a)
        """Mean action of π_z, in [-1, 1]."""

    @abstractmethod
    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d) -> (*b, d)
        """Latent z whose policy is (near) optimal for the reward φᵀw; never NaN, also not for w = 0."""

    def candidate_successor_features(
        self,
        observation: Tensor,  # (B, o)
        z: Tensor,  # (B, k, d)
    ) -> Tensor:  # (B, k, E, d)
        """Successor features ψ(s, π_z(s), z) of k candidates in each observation; override to share work."""
        return self.successor_features(observation.unsqueeze(-2), z)

    def feature_second_moment(self) -> Tensor | None:  # (d, d) float64
        """Second moment E[φφᵀ] of the features over the training data, not centred; None if unknown."""
        return None

    def inference_set(self) -> TensorDict | None:  # batch (n,)
        """Reward-free transitions shipped with the model, on whose features any reward can be regressed.

        Keys: ``observation``, ``action``, ``("next", "observation")`` and ``("next", "physics")``, from which an
        environment computes the rewards of any of its tasks. None for a model that brings none.
        """
        return self.transitions

    @classmethod
    def from_pretrained(cls, name: str) -> BFM:
        """Pretrained model of a folder, ``zoo:NAME`` or ``hf:OWNER/NAME``.

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
            family, wanted = type(model).__name__, cls.__name__
            raise ValueError(f"{name} is a {family}, not a {wanted}; BFM.from_pretrained takes any")
        return model

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write ``action`` into ``tensordict``; observations of another float type are taken as ``z`` is.

        Also without a TensorDict: ``action = bfm(observation=observation, z=z)``.

        Raises:
            KeyError: if there is no ``z``.
        """
        z = tensordict.get("z")
        if z is None:
            raise KeyError(
                f'a BFM acts for a task, "z" of shape (*, {self.dim}), and there is none: set it, as in '
                "bfm(observation=..., z=...), or let TaskInferenceTransform(agent) write it in an environment"
            )
        return tensordict.set("action", self.act(tensordict.get("observation").to(z.dtype), z))
