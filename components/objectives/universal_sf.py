"""Losses of universal successor features, with any feature objective as a part."""

from __future__ import annotations

from typing import Literal, Protocol, cast

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import (
    BFM,
    FeatureBatch,
    FeatureMap,
    FeatureObjective,
    LatentContext,
    LatentSampler,
    Objective,
)
from bfmkit.registry import register
from bfmkit.training.actor_critic_losses import directional_error, embedded
from bfmkit.training.actor_critic_objective import ActorCriticModel, ActorCriticObjective
from bfmkit.training.all_gather import full_precision, gathered
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from bfmkit.utils.linalg import second_moment

STATISTICS_RATE = 0.005
# Larger than that of a model's second moment: directions in which features hardly vary would make up all of z.
GOAL_RIDGE = 1e-3


class UniversalSFModel(ActorCriticModel, Protocol):
    """What this objective needs of its BFM, beside the interface."""

    feature_map: FeatureMap
    successor_network: nn.Module

    def fit_features(self, transitions: TensorDictBase) -> None: ...


@register(Objective, "universal_sf")
class UniversalSFObjective(ActorCriticObjective):
    r"""Successor-feature losses: ψ and π for features φ, and φ by an objective of its own, on the same batches.

    With a target from target networks at a' ∼ π_z(s'), through which φ gets no gradient,

        T = φ(s, a, s') + γ(1−t) ψ̄(s', a', z)
        e = ψ_e(s_i, a_i, z_i) − T_i
        loss_successor = Σ_e [ vector_loss · mean_{i,k} e_k²  +  value_loss · mean_i (eᵀz_i / ‖z_i‖)² ]
        loss_actor = −mean_i pessimistic_e ψ_e(s_i, ã_i, z_i)ᵀz_i,   ã ∼ π_z(s), ψ frozen

    t marks termination. ψ̄ is the ensemble's mean, or its member of least ψ̄ᵀz. The value loss spends a small network
    on the one direction that acting under z depends on; the vector loss keeps the others meaningful, as confidence
    widths need. A goal's z is P(C⁻¹φ(x, 0, x')) for the next observations x, x' of two rows: for most maps that is the
    features of a state x', for differences of states the way from x to x'. P projects onto the sphere, C is a running
    second moment of these features. Pessimism is that of the objective ``forward_backward``.

    Further arguments are those of :class:`~bfmkit.training.actor_critic_objective.ActorCriticObjective`.

    Args:
        bfm: the model to train, a ``universal_sf``.
        feature_objective: what φ is learnt by; φ stays as it is if not given.
        vector_loss: weight of the loss on all directions of ψ.
        value_loss: weight of the loss along z.
        target: ψ̄.
        feature_rate: factor on the learning rate of φ and of what its objective trains beside it.
        actor_rate: factor on the learning rate of π.

    Raises:
        ValueError: if a rate is not positive, or a weight negative or both zero.
        TypeError: if ``bfm`` has no feature map, or one that the feature objective cannot train.

    Example:
        ``objective: {type: universal_sf, bfm: {type: universal_sf, features: {type: identity}, networks:
        {type: two_stream}}}``

    Reference:
        Touati et al., Does zero-shot reinforcement learning exist?, 2023, section 4 and appendix B.
    """

    moment: Tensor
    inverse_moment: Tensor
    batches: Tensor

    def __init__(
        self,
        bfm: BFM,
        feature_objective: FeatureObjective | None = None,
        vector_loss: NonNegativeFloat = 1.0,
        value_loss: NonNegativeFloat = 0.0,
        target: Literal["mean", "minimum"] = "mean",
        target_rate: Share = 0.01,
        latent_sampler: LatentSampler | None = None,
        action_noise: NonNegativeFloat = 0.2,
        noise_clip: NonNegativeFloat = 0.3,
        actor_pessimism: float = 0.5,
        feature_rate: PositiveFloat = 1.0,
        actor_rate: PositiveFloat = 1.0,
        actor_every: PositiveInt = 1,
    ) -> None:
        if vector_loss + value_loss == 0:
            raise ValueError("vector_loss and value_loss must not both be zero")
        networks = ("feature_map", "successor_network", "actor_network")
        super().__init__(
            bfm, networks, target_rate, latent_sampler, action_noise, noise_clip, actor_pessimism, actor_every
        )
        self.rate_factors = {"features": feature_rate, "actor": actor_rate}
        self.feature_objective = feature_objective
        if feature_objective is not None:
            feature_objective.attach(self._model.feature_map, bfm.environment_spec)
            self.future_discount = feature_objective.future_discount
        self._follow(successor_network=self._model.successor_network)
        self._vector_loss, self._value_loss, self._target = vector_loss, value_loss, target
        self.register_buffer("moment", torch.eye(bfm.dim, dtype=torch.float64))
        self.register_buffer("inverse_moment", torch.eye(bfm.dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    @property
    def _model(self) -> UniversalSFModel:
        return cast(UniversalSFModel, self.bfm)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``successor``, ``actor``, and ``features`` if they are learnt."""
        model = self._model
        groups = {
            "successor": list(model.successor_network.parameters()),
            "actor": list(model.actor_network.parameters()),
        }
        if self.feature_objective is not None:
            beside = [parameter for parameter in self.feature_objective.parameters() if parameter.requires_grad]
            groups["features"] = [*model.feature_map.parameters(), *beside]
        return groups

    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """The losses, and a few numbers for the log."""
        model, action = self._model, self.entry(tensordict, "action")
        s, following, discount = self._seen(tensordict)
        with torch.no_grad():
            context = self._latent_context(s, action, following)
            z, features = self._sample_z(context), context.features
            later = self._targets[0](following, z, self._action(following, z))
            target = features + discount * (later.mean(-2) if self._target == "mean" else least(later, z))
        embedding = embedded(model.successor_network, s, z)
        successor = model.successor_network(s, z, action, *embedding)  # (N, E, d)
        # At least float32, for differences of large numbers are no matter for bfloat16.
        error = successor.float() - target.float().unsqueeze(-2)
        # Summed over the ensemble, a mean over the rest.
        loss = self._vector_loss * error.square().mean() * successor.shape[-2]
        if self._value_loss > 0:
            loss = loss + self._value_loss * directional_error(error, z).square().mean() * successor.shape[-2]

        losses = {
            "loss_successor": loss,
            **self._actor_losses(model.successor_network, s, z, embedding),
            "feature_norm": features.norm(dim=-1).mean(),
            "successor_norm": successor.detach().norm(dim=-1).mean(),
        }
        if self.feature_objective is not None:
            future = None
            if self.future_discount is not None:
                future = model.scaled(self.entry(tensordict, "observation", "future"))
            batch = FeatureBatch(s, action, following, future)
            losses |= self.feature_objective.losses(model.feature_map, batch)
        return TensorDict(losses)

    def _latent_context(self, observation: Tensor, action: Tensor, following: Tensor) -> LatentContext:
        """Features of the transitions; goals P(C⁻¹φ) of the way from each state to another row's."""
        model = self._model
        features = model.feature_map.features(observation, action, following)
        with full_precision(following):
            goals = model.policy_latent(self._pairs(following).float() @ self.inverse_moment)
        return LatentContext(following, lambda: features, goals, model.policy_latent)

    def _pairs(self, following: Tensor) -> Tensor:  # (N, o) -> (N, d)
        """φ from each state to the one in the row before."""
        nothing = following.new_zeros(len(following), self._model.environment_spec.action_size)
        return self._model.feature_map.features(following, nothing, following.roll(1, 0))

    def prepare(self, observations: Tensor) -> None:  # (n, o)
        """Fix the scaling of observations, and what the feature map takes from them."""
        super().prepare(observations)
        self._model.feature_map.prepare(self._model.scaled(observations))

    def update_targets(self) -> None:
        """Move all target networks."""
        super().update_targets()
        if self.feature_objective is not None:
            self.feature_objective.update_targets(self._model.feature_map)

    @torch.no_grad()
    def update_statistics(self, tensordict: TensorDictBase) -> None:  # batch (N,)
        """Follow what the feature map takes from data, and C."""
        model = self._model
        paths = (("observation",), ("action",), ("observation", "next"))
        observation, action, next_observation = (gathered(self.entry(tensordict, *path)) for path in paths)
        s, following = model.scaled(observation), model.scaled(next_observation)
        self.batches.add_(1)
        # A shorter memory at first, so that it is not still at its arbitrary start.
        rate = (1 / self.batches.double()).clamp(min=STATISTICS_RATE)
        model.feature_map.fit(s, action, following, rate.to(s.dtype))
        self.moment.add_(rate * (second_moment(self._pairs(following)) - self.moment))
        ridge = GOAL_RIDGE * self.moment.diagonal().mean() * torch.eye(model.dim, device=s.device)
        # Without a look at whether it succeeded, which would stop a GPU.
        root = torch.linalg.cholesky_ex(self.moment + ridge).L
        self.inverse_moment.copy_(torch.cholesky_inverse(root))

    def start_from(self, model: BFM) -> None:
        """Take over all weights; target networks start where the networks do."""
        super().start_from(model)
        if self.feature_objective is not None:
            self.feature_objective.start_from(self._model.feature_map)

    def finish(self, bfm: BFM, transitions: TensorDictBase) -> None:  # batch (n,)
        """Fit what the feature map takes from data, and the second moment of φ."""
        cast(UniversalSFModel, bfm).fit_features(transitions)


def least(successor_features: Tensor, z: Tensor) -> Tensor:  # (N, E, d), (N, d) -> (N, d)
    """The member of the ensemble with the smallest ψ_eᵀz, row by row."""
    member = (successor_features @ z.unsqueeze(-1)).argmin(dim=-2, keepdim=True)  # (N, 1, 1)
    return successor_features.take_along_dim(member, dim=-2).squeeze(-2)
