"""Pretrained model, from the zoo or from a folder."""

from __future__ import annotations

from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.models.folder import load_model, resolve
from bfmkit.models.hub import push
from bfmkit.registry import register


@register(BFM, "checkpoint")
class Checkpoint(BFM):
    """Model folder written by the job ``pretrain``, with the transitions that an oracle labels.

    Args:
        path: the folder, ``zoo:NAME`` for a model that ships with bfmkit, or ``hf:OWNER/NAME`` for one on the Hugging
            Face hub.

    Raises:
        FileNotFoundError: if there is no such folder or model; the message lists what the zoo has.
        ValueError: if the folder is damaged, or there is a pickle in it.

    Example:
        ``bfm: {type: checkpoint, path: zoo:walker}``
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._folder = resolve(path)
        self.model, self._inference_set = load_model(self._folder)
        self.environment_spec, self.dim, self.discount = (
            self.model.environment_spec,
            self.model.dim,
            self.model.discount,
        )

    def push_to_hub(self, repository: str, private: bool = True) -> str:
        """Send the model's folder to the Hugging Face hub, as ``OWNER/NAME``; whoever is logged in there sends it.

        Returns:
            Where it can be looked at.

        Raises:
            ValueError: if the name is none, or the extra ``hub`` is missing.
        """
        return push(self._folder, f"hf:{repository}", private)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ of the stored model."""
        return self.model.features(observation, action, next_observation)

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """ψ of the stored model: (*b, E, d)."""
        return self.model.successor_features(observation, z, action)

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:  # (B, k, E, d)
        """ψ of k candidates by the stored model."""
        return self.model.candidate_successor_features(observation, z)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π of the stored model."""
        return self.model.act(observation, z)

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """w to z, as the stored model does it."""
        return self.model.policy_latent(weights)

    def feature_second_moment(self) -> Tensor | None:  # (d, d) float64
        """That of the stored model."""
        return self.model.feature_second_moment()

    def inference_set(self) -> TensorDict:  # batch (n,)
        """The transitions shipped with the model."""
        return self._inference_set
