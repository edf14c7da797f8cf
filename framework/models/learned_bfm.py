"""Base class of trained models."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import BFM, EnvironmentSpec
from bfmkit.models.layers import project

RELATIVE_RIDGE = 1e-6
SMALLEST_DEVIATION = 1e-3
CANDIDATES_AT_ONCE = 2048
"""Of many runs, on a CPU: hidden layers of more leave its cache, and 256 runs of 128 candidates took 1.8 times as long
together as in parts of this size."""


class LearnedBFM(BFM):
    """Base class of trained BFMs: networks of standardised observations, and z on a sphere.

    z = policy_latent(w) = √d · w / ‖w‖

    Scale and second moment are buffers, so that they are stored with the weights.

    Args:
        spec: sizes of the environment.
        dim: d.
        discount: γ.

    Raises:
        ValueError: if ``dim`` is not positive or ``discount`` lies outside (0, 1).
    """

    observation_mean: Tensor
    observation_deviation: Tensor
    second_moment: Tensor

    def __init__(self, spec: EnvironmentSpec, dim: int, discount: float) -> None:
        super().__init__()
        self.environment_spec, self.dim, self.discount = spec, dim, discount
        self.register_buffer("observation_mean", torch.zeros(spec.observation_size))
        self.register_buffer("observation_deviation", torch.ones(spec.observation_size))
        self.register_buffer("second_moment", torch.eye(dim, dtype=torch.float64))

    def scaled(self, observation: Tensor) -> Tensor:  # (*b, o)
        """Standardised observations.

        Raises:
            ValueError: if they are not those of the model's environment; a single number would be broadcast.
        """
        size = self.environment_spec.observation_size
        if observation.shape[-1] != size:
            raise ValueError(
                f"observation must have {size} entries, got {observation.shape[-1]}; "
                'environment.fitted_to(bfm.environment_spec, "the model") observes what the model was made for'
            )
        scale = self._buffers
        return (observation - scale["observation_mean"]) / scale["observation_deviation"]

    def candidate_successor_features(
        self, observation: Tensor, z: Tensor
    ) -> Tensor:  # (B, o), (B, k, d) -> (B, k, E, d)
        """Successor features ψ(s, π_z(s), z) of k candidates; each observation is embedded once."""
        runs = max(1, CANDIDATES_AT_ONCE // z.shape[1])
        if len(z) <= runs or z.device.type != "cpu":
            return self.successor_features(observation.unsqueeze(-2), z)
        parts = zip(observation.unsqueeze(-2).split(runs), z.split(runs), strict=True)
        return torch.cat([self.successor_features(s, latents) for s, latents in parts])

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """Latent z on the sphere of radius √d; zero for w = 0."""
        return project(weights)

    @torch.no_grad()
    def fit_observation_scale(self, observations: Tensor) -> None:  # (n, o)
        """Fit mean and deviation of observations to data."""
        self.observation_mean.copy_(observations.mean(0))
        self.observation_deviation.copy_(observations.std(0).clamp(min=SMALLEST_DEVIATION))

    def feature_second_moment(self) -> Tensor:  # (d, d) float64
        """Second moment E[φφᵀ] over the data; the identity before it is fitted."""
        return self.second_moment
