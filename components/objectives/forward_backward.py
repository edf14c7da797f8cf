"""Losses of forward-backward representations."""

from __future__ import annotations

from functools import partial
from typing import Protocol, cast

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import BFM, LatentContext, LatentSampler, Objective
from bfmkit.registry import register
from bfmkit.training.actor_critic_losses import directional_error, embedded, orthonormality_loss, pessimistic
from bfmkit.training.actor_critic_objective import ActorCriticModel, ActorCriticObjective
from bfmkit.training.all_gather import full_precision, gathered
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat, PositiveInt, Share

BATCH_RIDGE = 1e-3
"""Of the second moment of B over a batch, relative to its mean diagonal."""


class ForwardBackwardModel(ActorCriticModel, Protocol):
    """What this objective needs of its BFM, beside the interface."""

    forward_network: nn.Module
    backward_network: nn.Module

    def backward_map(self, scaled: Tensor) -> Tensor: ...
    def fit_second_moment(self, next_observations: Tensor) -> None: ...


@register(Objective, "forward_backward")
class ForwardBackwardObjective(ActorCriticObjective):
    r"""Forward-backward losses: F, B and π trained together.

    With M_e = F_e(s, a, z)ᵀB(s'_j), target M̄ from target networks at a' ∼ π_z(s'), goals the next states of the batch:

        loss_measure = mean_e [ mean_{i≠j} (M_e − γ(1−t)M̄)²_{ij} − 2 mean_i (M_e − γ(1−t)M̄)_{ii} ]
        loss_orthonormality = λ [ mean_{i≠j} (B_iᵀB_j)² − 2 mean_i B_iᵀB_i ]
        loss_value = ν Σ_e mean_i [(F_e(s_i, a_i, z_i) − C⁻¹B(s'_i) − γ(1−t) mean_e F̄_e)ᵀz_i / ‖z_i‖]²,   C = E[BBᵀ]
        loss_actor = −mean_i pessimistic_e F_e(s_i, ã_i, z_i)ᵀz_i,   ã ∼ π_z(s), F frozen

    t marks termination. A goal's z is B of a next state of the batch. The value loss holds F to the Bellman equation of
    the reward B(s')ᵀC⁻¹z that z stands for; C is the batch's, and B gets no gradient from it. Actions are π's mean plus
    clipped Gaussian noise. Pessimism subtracts that many times the mean |x_e − x_e'| over ordered pairs from the mean
    over the ensemble; 0.5 is the minimum when E = 2.

    Further arguments are those of :class:`~bfmkit.training.actor_critic_objective.ActorCriticObjective`.

    Args:
        bfm: the model to train; it must have the networks of ``forward_backward``.
        orthonormality: λ.
        measure_pessimism: for M̄.
        backward_rate: factor on the learning rate of B.
        actor_rate: factor on the learning rate of π.
        value_loss: ν.

    Raises:
        ValueError: if a rate is not positive, or ``value_loss`` negative.
        TypeError: if ``bfm`` has no forward and backward networks.

    Example:
        ``objective: {type: forward_backward, bfm: {type: forward_backward, dim: 50, networks: {type: two_stream}}}``

    Reference:
        Touati and Ollivier 2021, equation 8; Touati et al. 2023, appendix B; for the value loss Tirinzoni et al.,
        Zero-shot whole-body humanoid control via behavioral foundation models, 2025, appendix on the FB objective.
    """

    def __init__(
        self,
        bfm: BFM,
        orthonormality: NonNegativeFloat = 1.0,
        target_rate: Share = 0.01,
        latent_sampler: LatentSampler | None = None,
        action_noise: NonNegativeFloat = 0.2,
        noise_clip: NonNegativeFloat = 0.3,
        measure_pessimism: float = 0.0,
        actor_pessimism: float = 0.5,
        backward_rate: PositiveFloat = 1.0,
        actor_rate: PositiveFloat = 1.0,
        value_loss: NonNegativeFloat = 0.0,
        actor_every: PositiveInt = 1,
    ) -> None:
        networks = ("forward_network", "backward_network", "actor_network")
        super().__init__(
            bfm, networks, target_rate, latent_sampler, action_noise, noise_clip, actor_pessimism, actor_every
        )
        self.rate_factors = {"backward": backward_rate, "actor": actor_rate}
        self._follow(forward_network=self._model.forward_network, backward_network=self._model.backward_network)
        self._orthonormality, self._measure_pessimism = orthonormality, measure_pessimism
        self._value_loss = value_loss

    @property
    def _model(self) -> ForwardBackwardModel:
        return cast(ForwardBackwardModel, self.bfm)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """``forward``, ``backward`` and ``actor``."""
        model = self._model
        return {
            "forward": list(model.forward_network.parameters()),
            "backward": list(model.backward_network.parameters()),
            "actor": list(model.actor_network.parameters()),
        }

    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """The three losses, and a few numbers for the log."""
        model = self._model
        target_forward_network, target_backward_network = self._targets
        s, following, discount = self._seen(tensordict)
        backward = model.backward_map(following)
        context = self._context(following, backward.detach())
        z = self._sample_z(context)

        with torch.no_grad():
            target_forward = target_forward_network(following, z, self._action(following, z))
            target_forward = discount * target_forward.movedim(-2, 0)
            target_backward = model.policy_latent(target_backward_network(following))
        embedding = embedded(model.forward_network, s, z)
        forward = model.forward_network(s, z, self.entry(tensordict, "action"), *embedding).movedim(-2, 0)
        value_loss: dict[str, Tensor] = {}
        if self._value_loss > 0:
            value_target = context.features + target_forward.mean(0)  # (N, d)
            error = (forward.float() - value_target.float()).movedim(0, -2)
            squares = directional_error(error, z).square().mean() * len(forward)
            value_loss = {"loss_value": self._value_loss * squares}
        # Every sample meets every other: those of all processes, and in sums that are too long for bfloat16.
        forward, target_forward = gathered(forward, dim=1), gathered(target_forward, dim=1)
        backward, target_backward = gathered(backward), gathered(target_backward)
        with full_precision(backward):
            off_diagonal, diagonal = self._measure_loss(forward, backward, target_forward, target_backward)
            ortho_off_diagonal, ortho_diagonal = orthonormality_loss(backward)

        return TensorDict(
            {
                "loss_measure": off_diagonal + diagonal,
                "loss_orthonormality": self._orthonormality * (ortho_off_diagonal + ortho_diagonal),
                **value_loss,
                **self._actor_losses(model.forward_network, s, z, embedding),
                "measure_diagonal": diagonal.detach(),
                "orthonormality_off_diagonal": ortho_off_diagonal.detach(),
                "forward_norm": forward.detach().norm(dim=-1).mean(),
            }
        )

    def _measure_loss(
        self, forward: Tensor, backward: Tensor, target_forward: Tensor, target_backward: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self._measure_pessimism == 0:
            return factored_measure_loss(forward, backward, target_forward.mean(0), target_backward)
        return measure_loss(forward, backward, target_measure(target_forward, target_backward, self._measure_pessimism))

    def _latent_context(self, observation: Tensor, action: Tensor, following: Tensor) -> LatentContext:
        return self._context(following, self._model.backward_map(following))

    def _context(self, following: Tensor, backward: Tensor) -> LatentContext:  # (N, o), (N, d)
        """φ = C⁻¹B with C of the batch; goals are B of another row."""
        return LatentContext(following, partial(_features, backward), _others(backward), self._model.policy_latent)

    def finish(self, bfm: BFM, transitions: TensorDictBase) -> None:  # batch (n,)
        """Fit the second moment of B."""
        cast(ForwardBackwardModel, bfm).fit_second_moment(transitions["next", "observation"])


def _features(backward: Tensor) -> Tensor:  # (N, d)
    """C⁻¹B with C of the batch."""
    with full_precision(backward):
        codes = backward.float()
        moment = codes.mT @ codes / len(codes)
        ridge = BATCH_RIDGE * moment.diagonal().mean() * torch.eye(len(moment), device=codes.device)
        # Without a look at whether it succeeded, which would stop a GPU.
        return torch.cholesky_solve(codes.mT, torch.linalg.cholesky_ex(moment + ridge).L).mT


def _others(codes: Tensor) -> Tensor:  # (N, d)
    """For each row the code of another, which is as good as any: rows were drawn independently."""
    return codes.roll(1, 0)


def target_measure(forward: Tensor, backward: Tensor, pessimism: float = 0.0) -> Tensor:  # (E, N, d), (N, d) -> (N, N)
    """M̄ = pessimistic_e F̄_e B̄ᵀ."""
    return pessimistic(forward @ backward.mT, pessimism)


def measure_loss(
    forward: Tensor,  # (E, N, d)
    backward: Tensor,  # (N, d)
    target: Tensor,  # (N, N), the discounted target measure
) -> tuple[Tensor, Tensor]:
    """The off-diagonal and the diagonal part of the loss; gradients of the second flow through M alone."""
    members, rows, _ = forward.shape
    error = forward @ backward.mT - target
    diagonal = error.diagonal(dim1=-2, dim2=-1)
    squares = error.square().sum() - diagonal.square().sum()
    return squares / (members * rows * (rows - 1)), -2 * diagonal.mean()


def factored_measure_loss(
    forward: Tensor,  # (E, N, d)
    backward: Tensor,  # (N, d)
    target_forward: Tensor,  # (N, d), discounted
    target_backward: Tensor,  # (N, d)
) -> tuple[Tensor, Tensor]:
    """:func:`measure_loss` for a target that is itself a product, without any N×N matrix.

    With G = [F, −F̄] and H = [B, B̄], the error is G Hᵀ and its squared norm ⟨GᵀG, HᵀH⟩, which costs N·d² rather than
    N²·d.
    """
    members, rows, _ = forward.shape
    left = torch.cat([forward, -target_forward.expand_as(forward)], dim=-1)
    right = torch.cat([backward, target_backward], dim=-1)
    diagonal = (left * right).sum(-1)
    squares = ((left.mT @ left).sum(0) * (right.mT @ right)).sum() - diagonal.square().sum()
    return squares / (members * rows * (rows - 1)), -2 * diagonal.mean()
