"""Losses of temporal-difference joint-embedding prediction."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import BFM, LatentContext, LatentSampler, Networks, Objective
from bfmkit.models.layers import project
from bfmkit.registry import register
from bfmkit.training.actor_critic_losses import directional_error, embedded, orthonormality_loss
from bfmkit.training.actor_critic_objective import ActorCriticModel, ActorCriticObjective
from bfmkit.training.all_gather import full_precision, gathered
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat, PositiveInt, Share


class TDJepaModel(ActorCriticModel, Protocol):
    """What this objective needs of its BFM, beside the interface."""

    state_dim: int
    networks: Networks
    state_encoder: nn.Module
    task_encoder: nn.Module
    successor_network: nn.Module

    def state_code(self, scaled: Tensor) -> Tensor: ...
    def task_code(self, scaled: Tensor) -> Tensor: ...
    def fit_second_moment(self, next_observations: Tensor) -> None: ...


@register(Objective, "td_jepa")
class TDJepaObjective(ActorCriticObjective):
    r"""TD-JEPA losses: each encoder predicts, from its own code, what the other's will add up to under π_z.

    With e the state encoder, t the task encoder, T the model's predictor and U one beside it, a bar for target
    networks, and a' ∼ π_z(s'):

        loss_task = mean_{k,i} ‖T_k(e(s_i), z_i, a_i) − t̄(s'_i) − γ(1−τ) mean_k T̄_k(ē(s'_i), z_i, a'_i)‖²
        loss_state = mean_{k,i} ‖U_k(t(s_i), z_i, a_i) − ē(s'_i) − γ(1−τ) mean_k Ū_k(t̄(s'_i), z_i, a'_i)‖²
        loss_orthonormality = Σ_{c∈{e,t}} λ [ mean_{i≠j} (c(s_i)ᵀc(s_j))² − 2 mean_i ‖c(s_i)‖² ]
        loss_value = ν mean_{k,i} [(T_k(e(s_i), z_i, a_i) − t̄(s'_i) − γ(1−τ) mean_k T̄_k)ᵀz_i / ‖z_i‖]²
        loss_actor = −mean_i pessimistic_k T_k(e(s_i), z_i, ã_i)ᵀz_i,   ã ∼ π_z(s), T and e frozen

    k counts the members of an ensemble, τ marks termination. A goal's z is t of a next state of the batch. Pessimism is
    that of the objective ``forward_backward``.

    Further arguments are those of :class:`~bfmkit.training.actor_critic_objective.ActorCriticObjective`.

    Args:
        bfm: the model to train, a ``td_jepa``.
        orthonormality: λ.
        task_encoder_rate: factor on the learning rate of t.
        actor_rate: factor on the learning rate of π.
        value_loss: ν.

    Raises:
        ValueError: if a rate is not positive, or ``value_loss`` negative.
        TypeError: if ``bfm`` has no state and task encoders.

    Example:
        ``objective: {type: td_jepa, bfm: {type: td_jepa, networks: {type: two_stream}}}``

    Reference:
        Bagatella et al., TD-JEPA: latent-predictive representations for zero-shot reinforcement learning, 2025.
    """

    def __init__(
        self,
        bfm: BFM,
        orthonormality: NonNegativeFloat = 0.1,
        target_rate: Share = 0.001,
        latent_sampler: LatentSampler | None = None,
        action_noise: NonNegativeFloat = 0.2,
        noise_clip: NonNegativeFloat = 0.3,
        actor_pessimism: float = 0.0,
        task_encoder_rate: PositiveFloat = 1.0,
        actor_rate: PositiveFloat = 1.0,
        value_loss: NonNegativeFloat = 0.0,
        actor_every: PositiveInt = 1,
    ) -> None:
        networks = ("state_encoder", "task_encoder", "successor_network", "actor_network")
        super().__init__(
            bfm, networks, target_rate, latent_sampler, action_noise, noise_clip, actor_pessimism, actor_every
        )
        self.rate_factors = {"task_encoder": task_encoder_rate, "actor": actor_rate}
        model, self._orthonormality, self._value_loss = self._model, orthonormality, value_loss
        self._state_predictor = model.networks.critic(
            model.dim, model.environment_spec.action_size, model.dim, model.state_dim
        )
        self._follow(
            state_encoder=model.state_encoder,
            task_encoder=model.task_encoder,
            successor_network=model.successor_network,
            state_predictor=self._state_predictor,
        )

    @property
    def _model(self) -> TDJepaModel:
        return cast(TDJepaModel, self.bfm)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``state_encoder``, ``task_encoder``, ``predictors`` and ``actor``."""
        model = self._model
        return {
            "state_encoder": list(model.state_encoder.parameters()),
            "task_encoder": list(model.task_encoder.parameters()),
            "predictors": [*model.successor_network.parameters(), *self._state_predictor.parameters()],
            "actor": list(model.actor_network.parameters()),
        }

    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """The losses, and a few numbers for the log."""
        model, action = self._model, self.entry(tensordict, "action")
        s, following, discount = self._seen(tensordict)
        state, task = model.state_code(s), model.task_code(s)
        with torch.no_grad():
            z = self._sample_z(self._latent_context(s, action, following))
            encoder, task_encoder, predictor, state_predictor = self._targets
            state_target, task_target = project(encoder(following)), project(task_encoder(following))
            next_action = self._action(model.state_code(following), z)
            task_sum = task_target + discount * predictor(state_target, z, next_action).mean(-2)
            state_sum = state_target + discount * state_predictor(task_target, z, next_action).mean(-2)
        embedding = embedded(model.successor_network, state, z)
        task_error = model.successor_network(state, z, action, *embedding).float() - task_sum.float().unsqueeze(-2)
        state_error = self._state_predictor(task, z, action).float() - state_sum.float().unsqueeze(-2)

        value_loss: dict[str, Tensor] = {}
        if self._value_loss > 0:
            value_loss = {"loss_value": self._value_loss * directional_error(task_error, z).square().mean()}
        with full_precision(state):
            state_apart, task_apart = (torch.stack(orthonormality_loss(gathered(code))).sum() for code in (state, task))
        return TensorDict(
            {
                "loss_task": task_error.square().sum(-1).mean(),
                "loss_state": state_error.square().sum(-1).mean(),
                "loss_orthonormality": self._orthonormality * (state_apart + task_apart),
                **value_loss,
                **self._actor_losses(model.successor_network, state.detach(), z, embedding),
                "task_orthonormality": task_apart.detach(),
                "successor_norm": task_sum.norm(dim=-1).mean(),
            }
        )

    def _latent_context(self, observation: Tensor, action: Tensor, following: Tensor) -> LatentContext:
        """φ is t; goals are t of the next state of another row."""
        codes = self._model.task_code(following)
        return LatentContext(following, lambda: codes, codes.roll(1, 0), self._model.policy_latent)

    def finish(self, bfm: BFM, transitions: TensorDictBase) -> None:  # batch (n,)
        """Fit the second moment of t."""
        cast(TDJepaModel, bfm).fit_second_moment(transitions["next", "observation"])
