"""What the objectives of all families share: an actor, critics that predict for a z, and target networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import BFM, EnvironmentSpec, Objective
from bfmkit.positive import one_per_row
from bfmkit.training.actor_critic import frozen_call, policy_value, with_clipped_noise
from bfmkit.training.weights_average import frozen_copy, move_towards


class ActorCriticModel(Protocol):
    """What these objectives need of a BFM, beside the interface."""

    spec: EnvironmentSpec
    discount: float
    dim: int
    actor_network: nn.Module

    def scaled(self, observation: Tensor) -> Tensor: ...
    def policy_latent(self, weights: Tensor) -> Tensor: ...
    def fit_observation_scale(self, observations: Tensor) -> None: ...


class ActorCriticObjective(Objective):
    r"""Draws z, adds noise to actions, moves target networks, and trains the actor:

        loss_actor = −mean_i pessimistic_e ψ_e(s_i, z_i, ã_i)ᵀz_i,   ã ∼ π_z(s), ψ frozen

    z is uniform on the sphere, or, with probability ``goal_share``, made of a state. Actions are π's mean plus clipped
    Gaussian noise.

    Args:
        bfm: the model to train.
        networks: attributes that it must have.
        target_rate: how far target networks move an update.
        goal_share: share of z that are made of states.
        action_noise: standard deviation of the noise on π's actions.
        noise_clip: largest absolute noise.
        actor_pessimism: for the actor's value.

    Raises:
        ValueError: if ``target_rate`` or ``goal_share`` is no share, or noise or pessimism negative.
        TypeError: if ``bfm`` lacks a network.
    """

    def __init__(
        self,
        bfm: BFM,
        networks: Sequence[str],
        target_rate: float,
        goal_share: float,
        action_noise: float,
        noise_clip: float,
        actor_pessimism: float,
    ) -> None:
        super().__init__()
        missing = [name for name in networks if not hasattr(bfm, name)]
        if missing:
            raise TypeError(f"{type(self).__name__} cannot train a {type(bfm).__name__}: it has no {missing[0]}")
        for name, share in (("target_rate", target_rate), ("goal_share", goal_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {share}")
        for name, size in (("action_noise", action_noise), ("noise_clip", noise_clip)):
            if not size >= 0:
                raise ValueError(f"{name} must not be negative, got {size}")
        self.bfm = bfm
        self._target_rate, self._goal_share = target_rate, goal_share
        self._action_noise, self._noise_clip = action_noise, noise_clip
        self._actor_pessimism = actor_pessimism

    def _follow(self, *networks: nn.Module) -> None:
        """Make ``_targets``: a target network of each, in this order."""
        self._followed = networks
        self._targets = nn.ModuleList(frozen_copy(network) for network in networks)

    @abstractmethod
    def _goals(self, following: Tensor) -> Tensor:  # (N, o), scaled -> (N, d)
        """For each row a z that is made of states of the batch."""

    def _seen(self, tensordict: TensorDictBase) -> tuple[Tensor, Tensor, Tensor]:  # (N, o), (N, o), (N, 1)
        """s, s' as the networks see them, and γ(1−t)."""
        model = cast(ActorCriticModel, self.bfm)
        s, following = model.scaled(tensordict["observation"]), model.scaled(tensordict["next", "observation"])
        terminated = one_per_row(tensordict["next", "terminated"], len(s), "terminated").bool()
        return s, following, model.discount * (~terminated).to(s.dtype).unsqueeze(-1)

    def _sample_z(self, goals: Tensor) -> Tensor:  # (N, d) -> (N, d)
        """Uniform on the sphere, or the row's goal with probability ``goal_share``."""
        sphere = cast(ActorCriticModel, self.bfm).policy_latent(torch.randn_like(goals))
        is_goal = torch.rand(len(goals), 1, device=goals.device) < self._goal_share
        return torch.where(is_goal, goals, sphere)

    def _action(self, observation: Tensor, z: Tensor) -> Tensor:  # as the actor sees it, (N, d) -> (N, a)
        """π_z(s) with clipped noise."""
        mean = cast(ActorCriticModel, self.bfm).actor_network(observation, z)
        return with_clipped_noise(mean, self._action_noise, self._noise_clip)

    def _actor_losses(self, critic: nn.Module, observation: Tensor, z: Tensor) -> dict[str, Tensor]:
        """``loss_actor``, and the mean value."""
        successor = frozen_call(critic, observation, z, self._action(observation, z))
        value = policy_value(successor, z, self._actor_pessimism)
        return {"loss_actor": -value.mean(), "value": value.detach().mean()}

    def update_targets(self) -> None:
        """Move all target networks."""
        self._move_targets(self._target_rate)

    def start_from(self, model: BFM) -> None:
        """Take over all weights; target networks start where the networks do."""
        self.bfm.load_state_dict(model.state_dict())
        self._move_targets(1.0)

    def _move_targets(self, rate: float) -> None:
        for target, network in zip(self._targets, self._followed, strict=True):
            move_towards(target, network, rate)

    @torch.no_grad()
    def latents(self, next_observation: Tensor) -> Tensor:  # (n, o) -> (n, d)
        """z on the sphere, or made of the given states with probability ``goal_share``."""
        return self._sample_z(self._goals(cast(ActorCriticModel, self.bfm).scaled(next_observation)))

    def prepare(self, observations: Tensor) -> None:  # (n, o)
        """Fix the scaling of observations."""
        cast(ActorCriticModel, self.bfm).fit_observation_scale(observations)
